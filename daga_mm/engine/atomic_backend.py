"""Files that are either whole or not there."""

import os
from pathlib import Path

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
