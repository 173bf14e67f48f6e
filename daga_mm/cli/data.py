"""Check the data sets of a config before a run: what is missing is named with its cure."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from mmengine.config import Config, ConfigDict

from .config import path_names

CLASS_FOLDERS = ('CustomDataset', 'ImageNet', 'daga_mm.ImageNetFolders')  # data sets whose classes are folders


def require_data(config: Config, *splits: str) -> None:
    """Say early, and with the cure, what is missing of the data sets that a run reads.

    Args:
        config: The config of a run.
        *splits: 'train', 'val', 'test': those that the run reads.

    Raises:
        FileNotFoundError: A ``data_root``, a folder or an annotation file in it does not exist, or a class folder is
            missing or empty.
        ValueError: There are more class folders than the model has classes, or splits have other ones; an annotation
            file is broken; a batch has no images; an evaluator asks for more of the best classes than there are.
    """
    loaders = {f'{split}_dataloader': config.get(f'{split}_dataloader') or {} for split in splits}
    if 'test' in splits:  # a probe's training images
        loaders['test_cfg.train_dataloader'] = (config.get('test_cfg') or {}).get('train_dataloader') or {}
    for name, loader in loaders.items():
        size = loader.get('batch_size', 1)
        if not isinstance(size, int) or size < 1:
            raise ValueError(f'{name}.batch_size is {size!r}, expected a positive integer')
    _require_best(config, splits)
    folders: dict[Path, list[str]] = {}
    for dataset in (part for loader in loaders.values() for part in _plain(loader.get('dataset') or {})):
        root = dataset.get('data_root')
        if '://' in (root or '') or (dataset.get('backend_args') or {}).get('backend', 'local') != 'local':
            continue  # not on this machine
        if root and not Path(root).exists():
            names = [
                name for name in path_names() if root == config.get(name) or root.startswith(f'{config.get(name)}/')
            ]
            cure = f'--cfg-options {names[0]}=PATH or {names[0].upper()}=PATH names' if names else 'data_root names'
            raise FileNotFoundError(
                f'no data set at {root}: {cure} its place; `python -m daga_mm.doctor` looks for all'
            )
        prefix = dataset.get('data_prefix')
        for folder in prefix.values() if isinstance(prefix, dict) else ():
            if folder and '://' not in folder and not Path(root or '.', folder).is_dir():
                raise FileNotFoundError(f'no folder {Path(root or ".", folder)}: {dataset.type} looks for files there')
        if dataset.get('ann_file'):
            _require_annotations(Path(root or '.', dataset.ann_file))
        if dataset.get('type') in CLASS_FOLDERS and not dataset.get('ann_file') and dataset.get('with_label', True):
            prefix = dataset.get('data_prefix') or dataset.get('split') or ''
            folder = Path(root or '.', prefix.get('img_path', '') if isinstance(prefix, dict) else prefix)
            if not Path(root or '.', f'meta/{folder.name}.txt').is_file():  # mmpretrain's ImageNet reads such lists
                classes = _require_classes(config, folder)
                if dataset.type == 'CustomDataset':  # which numbers the folders of each split by themselves
                    folders[folder] = classes
    first = next(iter(folders), Path())
    for folder, classes in folders.items():
        if classes != folders[first]:
            other = sorted({*classes} ^ {*folders[first]})
            raise ValueError(
                f'{folder} and {first} have other classes, and so other numbers for them: only one has '
                f'{", ".join(other[:5])}. Give both the same folders'
            )


def _plain(dataset: ConfigDict) -> Iterator[ConfigDict]:
    """The data sets inside of whatever repeats or joins them."""
    inner = [*dataset.get('datasets', ()), *([dataset.dataset] if 'dataset' in dataset else ())]
    if not inner:
        yield dataset
    for part in inner:
        yield from _plain(part)


def _require_annotations(path: Path) -> None:
    """The file is there, and JSON is whole, as far as its ends show it: reading all of COCO takes its time."""
    if not path.exists():
        raise FileNotFoundError(f'no annotation file {path}')
    if path.suffix == '.json':
        with path.open('rb') as file:
            start = file.read(64).lstrip()
            file.seek(max(0, path.stat().st_size - 64))
            end = file.read().rstrip()
        if (start[:1], end[-1:]) not in ((b'{', b'}'), (b'[', b']')):
            raise ValueError(f'{path} is no JSON, or only a part of one: download it again')


def _num_classes(config: Config) -> int | None:
    holders = (config.model.get('head'), config.model, config.get('test_cfg'))
    return next((holder['num_classes'] for holder in holders if holder and 'num_classes' in holder), None)


def _require_best(config: Config, splits: Iterable[str]) -> None:
    """mmpretrain would say it after the first epoch."""
    known = _num_classes(config)
    for name in (f'{split}_evaluator' for split in splits):
        evaluators = config.get(name) or []
        for evaluator in [evaluators] if isinstance(evaluators, dict) else evaluators:
            asked = evaluator.get('topk', 1) if evaluator.get('type') == 'Accuracy' else 1
            best = max(asked) if isinstance(asked, list | tuple) else asked
            if known and best > known:
                raise ValueError(
                    f'{name}.topk asks for the best {best} of {known} classes: --cfg-options val_evaluator.topk="(1,)" '
                    'test_evaluator.topk="(1,)"'
                )


def _require_classes(config: Config, folder: Path) -> list[str]:
    classes = sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    if not classes:
        raise FileNotFoundError(f'no class folders in {folder}')
    empty = [path.name for path in classes if next(path.iterdir(), None) is None]
    if empty:
        raise FileNotFoundError(f'{folder} has classes without an image: {", ".join(empty[:5])}')
    known = _num_classes(config)
    if known and len(classes) > known:
        raise ValueError(f'{folder} has {len(classes)} classes, the model {known}: set its num_classes')
    return [path.name for path in classes]
