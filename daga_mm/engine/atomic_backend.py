"""Files that are either whole or not there."""

import io
import os
from pathlib import Path
from typing import Any

from mmengine.fileio import LocalBackend, register_backend

UNFINISHED = '.part'


@register_backend('atomic')
class AtomicBackend(LocalBackend):
    """Local files for ``backend_args=dict(backend='atomic')``: written beside their place, then put there at once.

    Whatever stops the writing, the name holds what it held before, or all of the new content.
    """

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write bytes to a file.

        Raises:
            OSError: They could not be written; nothing is left behind.
        """
        path = Path(filepath)
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(path.name + UNFINISHED)
        try:
            with unfinished.open('wb') as file:
                file.write(obj)
                file.flush()
                os.fsync(file.fileno())  # else the new name could reach the disk before the content
            unfinished.replace(path)
        except OSError:
            unfinished.unlink(missing_ok=True)
            raise

    def put_text(self, obj: str, filepath: str | Path, encoding: str = 'utf-8') -> None:
        """Write text to a file, as `put` does."""
        self.put(obj.encode(encoding), filepath)


def write_figure(figure: Any, path: str | Path, **options: Any) -> None:
    """Write a figure of matplotlib as PNG, whole or not at all.

    Args:
        figure: The figure.
        path: Its file.
        **options: Of ``savefig``.

    Raises:
        OSError: It could not be written.
    """
    data = io.BytesIO()
    figure.savefig(data, format='png', **options)
    AtomicBackend().put(data.getvalue(), path)
