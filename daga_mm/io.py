"""Files: written whole or not at all, and read without running what may be in them.

mmengine 0.10.7 stores more than tensors in a checkpoint: the training history (``HistoryBuffer``, NumPy arrays and
numbers) and what its configs left in the metadata. Its ``Runner.resume`` therefore fails under ``weights_only=True``,
the default of ``torch.load`` since torch 2.6. `allow_mmengine_checkpoints` names exactly those types as safe, two of
them as narrow stand-ins; unpickling stays restricted.
"""

import hashlib
import io
import json
import os
import pickle
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import numpy as np
import torch
from mmengine.config import ConfigDict
from mmengine.dist import barrier
from mmengine.fileio import LocalBackend, register_backend
from mmengine.logging import HistoryBuffer
from safetensors import SafetensorError, safe_open

UNFINISHED = '.part'
STATISTICS = ('current', 'max', 'mean', 'min')  # HistoryBuffer._set_default_statistics
NUMBER_KINDS = 'biufc'


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


def _history_statistic(owner: Any, name: str) -> Callable:
    """Stands in for ``builtins.getattr``, by which a HistoryBuffer's pickle refers to its own methods."""
    if owner is HistoryBuffer and name in STATISTICS:
        return getattr(HistoryBuffer, name)
    raise pickle.UnpicklingError(f'Unsupported global: GLOBAL builtins.getattr on {owner!r} for {name!r}')


def _number_dtype(name: str, align: bool = False, copy: bool = False) -> np.dtype:
    """Stands in for ``numpy.dtype``: arrays of numbers only, none of objects or structures."""
    dtype = np.dtype(name) if isinstance(name, str) else None
    if dtype is None or dtype.kind not in NUMBER_KINDS:
        raise pickle.UnpicklingError(f'Unsupported global: GLOBAL numpy.dtype of {name!r}')
    return np.dtype(dtype, copy=copy)  # a copy where asked for: unpickling then sets its byte order


def _safe_globals() -> list[Any]:
    reconstruct = np.empty(0).__reduce__()[0]
    scalar = np.float64(0).__reduce__()[0]
    numpy_modules = ('numpy._core.multiarray', 'numpy.core.multiarray')  # since and before NumPy 2
    return [
        HistoryBuffer,
        (_history_statistic, 'builtins.getattr'),
        ConfigDict,  # nested data set metadata that came from a config
        np.ndarray,
        (_number_dtype, 'numpy.dtype'),
        *{type(np.dtype(code)) for code in np.typecodes['All'] if np.dtype(code).kind in NUMBER_KINDS},
        *((reconstruct, f'{module}._reconstruct') for module in numpy_modules),
        *((scalar, f'{module}.scalar') for module in numpy_modules),
    ]


def allow_mmengine_checkpoints() -> None:
    """Let ``torch.load`` read what ``mmengine.runner.Runner`` saves. Calling it again changes nothing."""
    torch.serialization.add_safe_globals(_safe_globals())


def load_checkpoint_file(path: str | Path, map_location: Any = 'cpu', mmap: bool = True) -> Any:
    """Load what torch or safetensors saved, without running any code that may be in it.

    The formats are told apart by their first bytes, not by their names.

    Args:
        path: a state dict, or a checkpoint of mmengine.
        map_location: where its tensors go, as for ``torch.load``.
        mmap: map the file, where its format allows it: what nobody looks at stays on the disk, but the file must stay
            as it is for as long as its tensors are in use.

    Returns:
        What was saved; of a safetensors file, its tensors under ``state_dict`` and, under ``meta``, the JSON that the
        file may have as metadata of that name.

    Raises:
        OSError: there is no such file, or it can't be opened.
        ValueError: the file is empty, truncated, a web page, a Git LFS pointer, none of these formats, or asks for a
            function or class that is not allowed.
    """
    allow_mmengine_checkpoints()
    with open(path, 'rb') as file:  # absent or forbidden: the system's own error says it best
        head = file.read(512)
    if not head:
        raise ValueError(f'{path} is empty: the download broke off, or the disk was full; download it again')
    if head.lstrip().lower().startswith((b'<!doctype', b'<html', b'<?xml')):
        raise ValueError(
            f'{path} is a web page, not weights: the download link has expired or needs its licence accepted'
        )
    if head.startswith(b'version https://git-lfs'):
        raise ValueError(f'{path} is a Git LFS pointer, not weights: run `git lfs pull` where it came from')
    if head[8:9] == b'{':  # eight bytes of length, then a JSON header
        return _load_safetensors(path, map_location)
    try:
        return torch.load(path, map_location=map_location, weights_only=True, mmap=mmap and zipfile.is_zipfile(path))
    except Exception as error:  # bytes that are no checkpoint make torch fail in every way there is
        # torch adds the advice weights_only=False to such an error, which is left out: that would run the file's code.
        cause = None if isinstance(error, pickle.UnpicklingError) else error
        raise ValueError(f'{path} was not loaded: {_fault(error)}') from cause


def _load_safetensors(path: str | Path, map_location: Any) -> dict[str, Any]:
    device = str(map_location) if isinstance(map_location, str | torch.device) else 'cpu'
    try:
        with safe_open(path, 'pt', device=device) as file:
            meta = json.loads((file.metadata() or {}).get('meta', '{}'))
            return {'state_dict': {key: file.get_tensor(key) for key in file.keys()}, 'meta': meta}  # noqa: SIM118
    except (SafetensorError, json.JSONDecodeError) as error:
        raise ValueError(f'{path} is a broken safetensors file ({error}); download it again') from error


def _fault(error: Exception) -> str:
    found = re.search(r'GLOBAL (\S+)', str(error))
    if found is None:
        return 'it is damaged (download it again), or no state dict or checkpoint that torch.save wrote.'
    return (
        f'it asks for {found[1]}, which is neither a tensor nor part of an mmengine checkpoint, and could run code. '
        'Do not trust a file only to get past this. If you know its origin, open it where nothing can be lost, and '
        'save its state dict with safetensors.torch.save_file.'
    )


def local_file(name: str) -> Path | None:
    """The file of a checkpoint: the path itself, or the copy of a URL in torch.hub's folder, fetched if need be.

    All processes call this; one on each machine fetches.

    Args:
        name: A path, an http(s) URL, or an address of another kind.

    Returns:
        None for an address of another kind.

    Raises:
        OSError: The URL cannot be fetched.
    """
    if '://' not in name:
        return Path(name).expanduser()
    if not name.startswith(('http://', 'https://')):
        return None
    remote = Path(urlparse(name).path)  # many files of that name are on the net: the URL's hash tells them apart
    own_name = f'{remote.stem}-{hashlib.sha256(name.encode()).hexdigest()[:8]}{remote.suffix}'
    path = Path(torch.hub.get_dir(), 'checkpoints', own_name)
    if os.environ.get('LOCAL_RANK', '0') == '0' and not path.exists():  # without a number each fetches
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(name, str(path))
        except OSError as error:
            raise OSError(f'{name} could not be fetched: {error}') from error
    barrier()
    return path
