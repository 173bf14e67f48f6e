"""Look for the data sets of a config before a run."""

from collections.abc import Iterator
from pathlib import Path

from mmengine.config import Config, ConfigDict

from .config import path_names


def require_data(config: Config, *splits: str) -> None:
    """Say at once which data set is not there, and which setting names its place.

    Args:
        config: The config of a run.
        *splits: 'train', 'val', 'test': those that the run reads.

    Raises:
        FileNotFoundError: A ``data_root`` does not exist.
    """
    loaders = [config.get(f'{split}_dataloader') or {} for split in splits]
    if 'test' in splits:  # a probe's training images
        loaders.append((config.get('test_cfg') or {}).get('train_dataloader') or {})
    for dataset in (part for loader in loaders for part in _plain(loader.get('dataset') or {})):
        root = dataset.get('data_root') or ''
        if '://' in root or (dataset.get('backend_args') or {}).get('backend', 'local') != 'local':
            continue  # not on this machine
        if root and not Path(root).exists():
            names = [
                name for name in path_names() if root == config.get(name) or root.startswith(f'{config.get(name)}/')
            ]
            cure = f'--cfg-options {names[0]}=PATH or {names[0].upper()}=PATH names' if names else 'data_root names'
            raise FileNotFoundError(
                f'no data set at {root}: {cure} its place; `python -m daga_mm.doctor` looks for all'
            )


def _plain(dataset: ConfigDict) -> Iterator[ConfigDict]:
    """The data sets inside of whatever repeats or joins them."""
    inner = [*dataset.get('datasets', ()), *([dataset.dataset] if 'dataset' in dataset else ())]
    if not inner:
        yield dataset
    for part in inner:
        yield from _plain(part)
