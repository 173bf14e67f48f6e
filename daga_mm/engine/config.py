"""Read a config for a run: options of the command line, paths, where results go."""

import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict

PATHS = Path(__file__).parents[1] / '.mim/configs/_base_/paths.py'


@cache
def path_names() -> tuple[str, ...]:
    """The names in ``configs/_base_/paths.py``; in upper case they are environment variables."""
    return tuple(Config.fromfile(PATHS))


def load_config(path: str | Path, options: Mapping[str, Any] | None = None, work_dir: str | None = None) -> Config:
    """Read a config file, changed by ``--cfg-options``.

    A path of ``configs/_base_/paths.py`` given as an option moves everything in the config that is built on it: such
    options become environment variables, for this process and its children, before the file is read.

    Args:
        path: The config file.
        options: Dotted names and values.
        work_dir: Where results go; else the config's ``work_dir``, else ``work_dirs/`` and the config's name.

    Raises:
        FileNotFoundError: No such file.
    """
    options = dict(options or {})
    if not Path(path).is_file():
        raise FileNotFoundError(f'no config {path}')
    for name in path_names():
        if name in options:
            os.environ[name.upper()] = str(options[name])
    config = Config.fromfile(path)
    config.merge_from_dict(options)
    if work_dir is not None:
        config.work_dir = work_dir
    elif config.get('work_dir') is None:
        config.work_dir = str(Path('work_dirs') / Path(path).stem)
    return config


def require_data(config: Config, *splits: str) -> None:
    """Say early, and with the cure, that a data set is not there.

    Args:
        config: The config of a run.
        *splits: 'train', 'val', 'test': those that the run reads.

    Raises:
        FileNotFoundError: A ``data_root`` does not exist.
    """
    for split in splits:
        root = ((config.get(f'{split}_dataloader') or {}).get('dataset') or {}).get('data_root')
        if root and not Path(root).exists():
            names = [name for name in path_names() if config.get(name) == root]
            cure = f'--cfg-options {names[0]}=PATH or {names[0].upper()}=PATH names' if names else 'data_root names'
            raise FileNotFoundError(
                f'no data set at {root}: {cure} its place; `python -m daga_mm.doctor` looks for all'
            )


def enable_amp(config: Config) -> None:
    """Train in mixed precision: bfloat16 where the GPU has it, else float16 with a dynamic loss scale.

    Raises:
        ValueError: The config's optimiser wrapper is one of a kind that mixed precision can't replace.
        RuntimeError: There is no GPU, and mmengine's mixed precision knows nothing else.
    """
    import torch

    wrapper: ConfigDict = config.optim_wrapper
    if wrapper.get('type', 'OptimWrapper') not in ('OptimWrapper', 'AmpOptimWrapper'):
        raise ValueError(f'--amp replaces an OptimWrapper, and this config has a {wrapper.type}')
    if not torch.cuda.is_available():
        raise RuntimeError('--amp needs a GPU: mmengine has no mixed precision on the CPU')
    wrapper.type = 'AmpOptimWrapper'
    if torch.cuda.is_bf16_supported():
        wrapper.dtype = 'bfloat16'
    else:
        wrapper.loss_scale = 'dynamic'
