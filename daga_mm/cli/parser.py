"""The arguments that the tools share. This module imports the standard library only."""

import argparse
from pathlib import Path
from typing import Any

ADAPTER = 'model.backbone.adapter'  # the setting of configs


def make_parser(description: str | None) -> argparse.ArgumentParser:
    """A parser whose help shows ``description``, the tool's docstring, as it is written."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--traceback', action='store_true', help='print the whole traceback of an error')
    return parser


class _Options(argparse.Action):
    """NAME=VALUE pairs as a dict, values as `mmengine.config.DictAction` reads them."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option_string: Any = None
    ) -> None:
        for value in values:
            name, equals, _ = value.partition('=')
            if not name or not equals:
                parser.error(f'{option_string} {value}: expected NAME=VALUE, without spaces around =')
            if any(value.count(left) != value.count(right) for left, right in ('()', '[]')):
                parser.error(f'{option_string} {value}: found brackets that are not closed, expected pairs')
        from mmengine.config import DictAction

        DictAction(self.option_strings, self.dest)(parser, namespace, values, option_string)


class _Adapter(argparse.Action):
    """An adapter's name as an option of the config."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option_string: Any = None
    ) -> None:
        options = getattr(namespace, self.dest, None) or {}
        setattr(namespace, self.dest, {**options, ADAPTER: None if values == 'none' else values})


def positive(text: str) -> int:
    """The type of an argument that counts something.

    Raises:
        argparse.ArgumentTypeError: It is not a positive integer.
    """
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f'expected a positive integer, got {text}')
    return int(text)


def fraction(text: str) -> float:
    """The type of an argument from 0 to 1.

    Raises:
        argparse.ArgumentTypeError: It is not.
    """
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f'expected a number from 0 to 1, got {text}')
    return value


def folder(text: str) -> Path:
    """The type of an argument that names a folder to write into; it need not exist yet.

    Raises:
        argparse.ArgumentTypeError: It, or a part of its path, is a file.
    """
    path = Path(text)
    for part in (path, *path.parents):
        if part.exists() and not part.is_dir():
            raise argparse.ArgumentTypeError(f'{part} is a file, expected a folder')
    return path


def file(text: str) -> Path:
    """The type of an argument that names a file to write.

    Raises:
        argparse.ArgumentTypeError: It is a folder, or a part of its path is a file.
    """
    path = Path(text)
    if path.is_dir():
        raise argparse.ArgumentTypeError(f'{path} is a folder, expected a file')
    folder(str(path.parent))
    return path


def add_config(parser: argparse.ArgumentParser) -> None:
    """A config, and changes to it."""
    parser.add_argument('config', help='config file, or the name of a config of this package')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=_Options,
        metavar='NAME=VALUE',
        help='change settings of the config, e.g. ade20k_root=/data/ade train_cfg.max_iters=100 '
        'model.backbone.out_indices="[1,3]"; paths of configs/_base_/paths.py go by their names; trunk=vitl16 takes '
        'another trunk of configs/_base_/dinov3.py',
    )
    parser.add_argument(
        '--adapter',
        dest='cfg_options',
        action=_Adapter,
        metavar='NAME',
        help='daga, lora, adaptformer, mona, bitfit, last_blocks, another registered adapter, or none; '
        f'its options: --cfg-options {ADAPTER}.rank=4',
    )


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """What a run takes: where its files go, and who started it."""
    parser.add_argument('--work-dir', help='where logs and results go (default: work_dirs/CONFIG or CONFIG_ADAPTER)')
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none')
    parser.add_argument('--local-rank', '--local_rank', type=int, default=0, help=argparse.SUPPRESS)


def add_device(parser: argparse.ArgumentParser) -> None:
    """Where a tool without a runner computes; see `daga_mm.cli.runs.chosen_device`."""
    parser.add_argument('--device', help='cpu, cuda:0 … (default: a GPU if there is one)')
