"""Read a config for a run: options of the command line, paths, where results go."""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from functools import cache
from inspect import signature
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from mmengine.config import Config

from .parser import ADAPTER

CONFIGS = Path(__file__).parents[1] / '.mim/configs'
# Of daga_mm, which bring these packages. mmengine inherits from 'mmseg::' by the name of its distribution.
EXTRAS = {'mmdet': 'det', 'mmseg': 'seg', 'mmsegmentation': 'seg', 'mmpretrain': 'cls'}
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


@cache
def path_defaults() -> dict[str, str]:
    """Where data sets and weights are by default, by the names in ``configs/_base_/paths.py``."""
    text = (CONFIGS / '_base_/paths.py').read_text()
    return dict(re.findall(r"^(\w+) = '\{\{\$\w+:(.*)\}\}'$", text, flags=re.MULTILINE))


def path_names() -> tuple[str, ...]:
    """The names in ``configs/_base_/paths.py``; in upper case they are environment variables."""
    return tuple(path_defaults())


@cache
def trunk_names() -> tuple[str, ...]:
    """The names of the trunks in ``configs/_base_/dinov3.py``."""
    return tuple(Config.fromfile(CONFIGS / '_base_/dinov3.py').trunks)


@contextmanager
def variable_environment(options: Mapping[str, Any] | None) -> Iterator[None]:
    """Set the environment variables of the paths and the trunk that ``options`` names, and restore them at the end."""
    names = (*path_names(), 'trunk')
    given = {name.upper(): str(value) for name, value in (options or {}).items() if name in names}
    before = {name: os.environ.get(name) for name in given}
    os.environ.update(given)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def find_config(path: str | Path) -> Path:
    """The file of a config.

    Args:
        path: The file; or a config of this package as ``tools/list_configs.py`` shows it, in a clone and in an
            installed package: its name, or its path, which starts with ``configs/``.

    Raises:
        FileNotFoundError: No such file, and no config of this name.
    """
    path = Path(path)
    if path.is_file():
        return path
    parts = path.parts if path.suffix == '.py' else (*path.parts[:-1], f'{path.name}.py')
    for file in CONFIGS.rglob('*.py'):
        if file.parts[-len(parts) :] == parts and '_base_' not in file.parts:
            return file
    raise FileNotFoundError(f'no config {path}{_like(path)}')


def load_config(path: str | Path, options: Mapping[str, Any] | None = None, work_dir: str | None = None) -> Config:
    """Read a config file, changed by ``--cfg-options``.

    A path of ``configs/_base_/paths.py`` given as an option moves everything in the config that is built on it, and
    ``trunk``, a name of ``configs/_base_/dinov3.py``, changes all that depends on the trunk's size: both are
    environment variables while the file is read. An option below an ``arch`` or ``adapter`` that is a name, such as
    ``model.backbone.adapter.rank``, is one of what it names.

    Args:
        path: The config file, or the name of a config of this package; see `find_config`.
        options: Dotted names and values.
        work_dir: Where results go; else the config's ``work_dir``, else ``work_dirs/`` and the config's name, with the
            trunk and the adapter that options name at its end.

    Raises:
        FileNotFoundError: No such file, or one that it inherits from is missing.
        ValueError: It is not a config, it needs a package that is not installed, or an option has no effect.
    """
    options = dict(options or {})
    path = find_config(path)
    if path.suffix not in ('.py', '.json', '.yaml', '.yml'):
        raise ValueError(f'{path} is not a config, expected a .py file')
    if 'trunk' in options and options['trunk'] not in trunk_names():
        raise ValueError(f'trunk is {options["trunk"]!r}, expected one of {", ".join(trunk_names())}')
    try:
        with variable_environment(options):
            config = Config.fromfile(path)
    except FileNotFoundError as error:
        raise FileNotFoundError(f'{path} inherits from a file that does not exist: {error}') from error
    except Exception as error:  # a config is a program and may raise anything
        package = _absent_package(error)
        if package:
            cure = f"pip install 'daga_mm[{EXTRAS[package]}]'"
            raise ValueError(f'{path} needs {package}, which is not installed: {cure}') from error
        fault = error.__cause__ or error
        raise ValueError(
            f'{path}, or a config that it inherits from, cannot be read: {type(fault).__name__}: {fault}'
        ) from error
    if work_dir is not None:
        config.work_dir = work_dir
    elif config.get('work_dir') is None:
        config.work_dir = str(Path('work_dirs') / '_'.join([path.stem, *_chosen(options)]))
    if 'trunk' in options:
        _require_trunk(options.pop('trunk'), config)
    _require_read(options, config)
    # Options that others go below come first: adapter=lora before adapter.rank=4.
    first = {name: options.pop(name) for name in list(options) if any(o.startswith(f'{name}.') for o in options)}
    try:
        config.merge_from_dict(first)
        _spell_out_names(options, config)
        config.merge_from_dict(options)
    except (KeyError, TypeError, IndexError, ValueError) as error:
        raise ValueError(f'options do not fit {path}: {error}') from error
    return config


def _absent_package(error: BaseException | None) -> str | None:
    """The task package without which a config cannot be read: it inherits from it, or imports it."""
    while error is not None:
        name = getattr(error, 'name', None) or str(error).partition(' is not installed')[0]
        package = str(name).partition('.')[0]
        if package in EXTRAS:
            return package
        error = error.__cause__ or error.__context__
    return None


def _like(path: Path) -> str:
    """The config whose file name is nearest, as the end of a message."""
    files = {file.stem: file for file in (*CONFIGS.rglob('*.py'), *path.parent.glob('*.py'))}
    return ''.join(f': do you mean {files[name]}?' for name in get_close_matches(path.stem, files, n=1))


def _chosen(options: Mapping[str, Any]) -> Iterator[str]:
    """The trunk and the adapters that options choose, as parts of a name."""
    trunk = options.get('trunk', os.environ.get('TRUNK'))
    if trunk is not None:
        yield trunk
    if ADAPTER in options:
        adapters = options[ADAPTER] or ['frozen']
        yield '-'.join([adapters] if isinstance(adapters, str) else map(str, adapters))


def _require_trunk(name: str, config: Config) -> None:
    """Refuse a trunk for a config that has one of its own."""
    chosen = (config.get('trunk') or {}).get('backbone', {}).get('arch')
    arch = ((config.get('model') or {}).get('backbone') or {}).get('arch')
    arch = arch.get('name') if isinstance(arch, dict) else arch
    if chosen is None or arch != chosen:
        raise ValueError(f'trunk={name} has no effect in this config, whose model.backbone.arch is {arch!r}')


def _spell_out_names(options: Iterable[str], config: Config) -> None:
    """Turn an ``arch`` or ``adapter`` that is a name into a dict with that name, for options below it."""
    for option in options:
        for setting, key in (('arch', 'name'), ('adapter', 'type')):
            holder, below, _ = option.partition(f'.{setting}.')
            if not below:
                continue
            node: Any = config
            for part in holder.split('.'):
                node = node[int(part) if isinstance(node, list) else part]
            if not isinstance(node, dict) or node.get('type') != 'daga_mm.DAGAViT':
                continue
            if isinstance(node.get(setting), str):
                node[setting] = {key: node[setting]}
            elif setting == 'adapter' and node.get(setting) is None:
                raise ValueError(f'{option}, but there is no adapter: name it too, {holder}.adapter=NAME')


def _require_read(options: Iterable[str], config: Config) -> None:
    """Refuse options that nothing reads: mmengine adds a misspelt name as a new setting, and a variable of the config
    was already substituted when the file was read."""
    from mmengine.runner import Runner  # imports torch

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
            f'{option} has no effect: {first} is a config variable that was already substituted'
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


def require_checkpoint(path: str) -> None:
    """Refuse a local checkpoint that does not exist.

    Raises:
        FileNotFoundError: It does not.
    """
    if '://' not in path and not Path(path).is_file():
        raise FileNotFoundError(f'no checkpoint {path}')


def require_work_dir(config: Config) -> list[Path]:
    """Make the folder for the files of a run.

    Returns:
        The folders that were not there before, the innermost first.

    Raises:
        OSError: It cannot be made, or nothing can be written there.
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
