"""Read a config for a run: options of the command line, paths, where results go."""

import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict

PATHS = Path(__file__).parents[1] / '.mim/configs/_base_/paths.py'
CLASS_FOLDERS = ('CustomDataset', 'ImageNet', 'daga_mm.ImageNetFolders')  # data sets whose classes are folders


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
    """Say early, and with the cure, what is missing of the data sets that a run reads.

    Args:
        config: The config of a run.
        *splits: 'train', 'val', 'test': those that the run reads.

    Raises:
        FileNotFoundError: A ``data_root`` does not exist, or a class folder is missing or empty.
        ValueError: There are more class folders than the model has classes.
    """
    datasets = [(config.get(f'{split}_dataloader') or {}).get('dataset') or {} for split in splits]
    if 'test' in splits:  # a probe's training images
        datasets.append(((config.get('test_cfg') or {}).get('train_dataloader') or {}).get('dataset') or {})
    for dataset in datasets:
        root = dataset.get('data_root')
        if root and not Path(root).exists():
            names = [
                name for name in path_names() if root == config.get(name) or root.startswith(f'{config.get(name)}/')
            ]
            cure = f'--cfg-options {names[0]}=PATH or {names[0].upper()}=PATH names' if names else 'data_root names'
            raise FileNotFoundError(
                f'no data set at {root}: {cure} its place; `python -m daga_mm.doctor` looks for all'
            )
        if dataset.get('type') in CLASS_FOLDERS and not dataset.get('ann_file'):
            prefix = dataset.get('data_prefix') or dataset.get('split') or ''
            folder = Path(root or '.', prefix.get('img_path', '') if isinstance(prefix, dict) else prefix)
            if not Path(root or '.', f'meta/{folder.name}.txt').is_file():  # mmpretrain's ImageNet reads such lists
                _require_classes(config, folder)


def _require_classes(config: Config, folder: Path) -> None:
    classes = sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    if not classes:
        raise FileNotFoundError(f'no class folders in {folder}')
    empty = [path.name for path in classes if next(path.iterdir(), None) is None]
    if empty:
        raise FileNotFoundError(f'{folder} has classes without an image: {", ".join(empty[:5])}')
    holders = (config.model.get('head'), config.model, config.get('test_cfg'))
    known = [holder['num_classes'] for holder in holders if holder and 'num_classes' in holder]
    if known and len(classes) > known[0]:
        raise ValueError(f'{folder} has {len(classes)} classes, the model {known[0]}: set its num_classes')


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
