"""mmengine's checkpoints under ``weights_only=True``, the default of ``torch.load`` since torch 2.6.

mmengine 0.10.7 stores more than tensors: the training history (``HistoryBuffer``, NumPy arrays and numbers)
and what its configs left in the metadata. Its ``Runner.resume`` therefore fails on current torch. The cure is
to name exactly those types as safe, two of them as narrow stand-ins; unpickling stays restricted.
"""

import pickle
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import ConfigDict
from mmengine.logging import HistoryBuffer

STATISTICS = ('current', 'max', 'mean', 'min')  # HistoryBuffer._set_default_statistics
NUMBER_KINDS = 'biufc'


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


def load_checkpoint_file(path: str | Path) -> Any:
    """Load a file that torch saved, onto the CPU, and without running any code that may be in it.

    Args:
        path: a state dict, or a checkpoint of mmengine.

    Returns:
        What was saved.

    Raises:
        OSError: there is no such file, or it can't be opened.
        ValueError: the file asks for a function or class that is not allowed, is damaged, or none of torch's.
    """
    allow_mmengine_checkpoints()
    with open(path, 'rb'):  # absent or forbidden: the system's own error says it best
        pass
    try:
        # Mapped, where the format allows it: what nobody looks at stays on the disk.
        return torch.load(path, map_location='cpu', weights_only=True, mmap=zipfile.is_zipfile(path))
    except Exception as error:  # bytes that are no checkpoint make torch fail in every way there is
        # Where torch advises weights_only=False its words are left out: that would run the file's code.
        cause = None if 'weights_only' in str(error) else error
        raise ValueError(f'{path} was not loaded: {_fault(error)}') from cause


def _fault(error: Exception) -> str:
    found = re.search(r'GLOBAL (\S+)', str(error))
    if found is None:
        return 'it is damaged (fetch it again), or no state dict or checkpoint that torch.save wrote.'
    return (
        f'it asks for {found[1]}, which is neither a tensor nor part of an mmengine checkpoint, and could run code. '
        'Do not trust a file only to get past this. If you know its origin, open it where nothing can be lost, and '
        'save its state dict with safetensors.torch.save_file.'
    )
