"""Read a config for a run: options of the command line, paths, where results go."""

import os
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from functools import cache
from inspect import signature
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.runner import Runner

PATHS = Path(__file__).parents[1] / '.mim/configs/_base_/paths.py'
# What is looked for in a config beside the arguments of mmengine's Runner: by it, and by test-time augmentation.
RUN_SETTINGS = (
    'activation_checkpointing',
    'compile',
    'custom_imports',
    'efficient_conv_bn_eval',
    'find_unused_parameters',
    'model_wrapper_cfg',
    'runner_type',
    'sync_bn',
    'tta_model',
    'tta_pipeline',
)
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
        FileNotFoundError: No such file, or one that it inherits from is missing.
        ValueError: It is no config, or an option would change nothing of what is read in it.
    """
    options = dict(options or {})
    if not Path(path).is_file():
        raise FileNotFoundError(f'no config {path}')
    if Path(path).suffix not in ('.py', '.json', '.yaml', '.yml'):
        raise ValueError(f'{path} is no config: those are .py files')
    for name in path_names():
        if name in options:
            os.environ[name.upper()] = str(options[name])
    try:
        config = Config.fromfile(path)
    except FileNotFoundError as error:
        raise FileNotFoundError(f'{path} inherits from what is not there: {error}') from error
    except Exception as error:  # a config is a program, and fails as its author likes
        fault = error.__cause__ or error
        raise ValueError(
            f'{path}, or what it inherits from, can not be read: {type(fault).__name__}: {fault}'
        ) from error
    _require_read(options, config)
    try:
        config.merge_from_dict(options)
    except (KeyError, TypeError, IndexError, ValueError) as error:
        raise ValueError(f'--cfg-options do not fit {path}: {error}') from error
    if work_dir is not None:
        config.work_dir = work_dir
    elif config.get('work_dir') is None:
        config.work_dir = str(Path('work_dirs') / Path(path).stem)
    return config


def _require_read(options: Iterable[str], config: Config) -> None:
    """mmengine takes any name for a setting. Nobody would read a misspelt one, or a variable that was put in its places
    when the file was read."""
    read = {*signature(Runner).parameters, *RUN_SETTINGS, *path_names()}
    if 'data_preprocessor' in (config.get('model') or {}):
        read.remove('data_preprocessor')  # the Runner's is for models without one
    for option in options:
        first = option.split('.')[0]
        if first in read:
            continue
        if first not in config and first != 'data_preprocessor':
            close = get_close_matches(first, read, n=1)
            raise ValueError(f'no setting {option} in this config' + f': do you mean {close[0]}?' * bool(close))
        places = list(_places(first, {name: config[name] for name in config if name in read}))
        raise ValueError(
            f'{option} would change nothing: {first} is a variable of the config, put in its places when it was read'
            + f': do you mean {" or ".join(places[:3])}?' * bool(places)
        )


def _places(name: str, settings: Any, prefix: str = '') -> Iterator[str]:
    """Dotted names of the settings of that name."""
    items = enumerate(settings) if isinstance(settings, list | tuple) else settings.items()
    for key, value in items:
        if key == name:
            yield f'{prefix}{key}'
        elif isinstance(value, dict | list | tuple):
            yield from _places(name, value, f'{prefix}{key}.')


def require_work_dir(config: Config) -> list[Path]:
    """Make the folder for the files of a run.

    Returns:
        The folders that were not there before, the innermost first.

    Raises:
        OSError: It can't be made, or nothing can be written there.
    """
    folder = Path(config.work_dir)
    made = [one for one in (folder, *folder.parents) if not one.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OSError(
            f'nothing can be written to {folder} ({error.strerror}): name another folder, --work-dir'
        ) from error
    return made


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
            raise ValueError(f'{name}.batch_size is {size!r}: a whole number from 1 on')
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
            raise ValueError(f'{path} is no JSON, or only a part of one: fetch it again')


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


def enable_amp(config: Config) -> None:
    """Train in mixed precision: bfloat16 on the CPU and where the GPU has it, else float16 with a dynamic loss scale.

    Raises:
        ValueError: The config's optimiser wrapper is one of a kind that mixed precision can't replace.
    """
    import torch

    wrapper: ConfigDict = config.optim_wrapper
    if wrapper.get('type', 'OptimWrapper') not in ('OptimWrapper', 'AmpOptimWrapper'):
        raise ValueError(f'--amp replaces an OptimWrapper, and this config has a {wrapper.type}')
    if not torch.cuda.is_available():
        wrapper.type = 'daga_mm.BFloat16OptimWrapper'
        for name in ('dtype', 'loss_scale', 'use_fsdp'):  # AmpOptimWrapper's
            wrapper.pop(name, None)
        return
    wrapper.type = 'AmpOptimWrapper'
    wrapper.pop('loss_scale', None)
    if torch.cuda.is_bf16_supported(including_emulation=False):
        wrapper.dtype = 'bfloat16'
    else:
        wrapper.loss_scale = 'dynamic'
