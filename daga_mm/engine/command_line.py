"""What the command lines of the tools share."""

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.config import Config, DictAction
from mmengine.registry import RUNNERS

from .errors import plain
from .launch import NAMES, join_processes
from .runner import Runner


def make_parser(description: str | None) -> argparse.ArgumentParser:
    """A parser whose help shows ``description``, the tool's docstring, as it is written."""
    return argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)


class _Options(DictAction):
    """mmengine's, which says what is wrong with an option."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: Any, values: Any, option_string: Any = None) -> None:
        for value in values:
            name, equals, _ = value.partition('=')
            if not name or not equals:
                parser.error(f'{option_string} takes NAME=VALUE, without spaces around =, not {value!r}')
            try:
                super().__call__(parser, namespace, [value], option_string)
            except (AssertionError, ValueError) as error:
                parser.error(f'{option_string} {value}: {error}')


def positive(text: str) -> int:
    """The type of an argument that counts something.

    Raises:
        argparse.ArgumentTypeError: It is less than 1, or no number.
    """
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f'a whole number from 1 on, not {text}')
    return int(text)


def add_config(parser: argparse.ArgumentParser) -> None:
    """A config, and changes to it."""
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=_Options,
        metavar='NAME=VALUE',
        help='change settings of the config, e.g. ade20k_root=/data/ade train_cfg.max_iters=100 '
        'model.backbone.out_indices="[1,3]"; paths of configs/_base_/paths.py go by their names',
    )


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """What a run through mmengine's Runner takes: where its files go, and who started it."""
    parser.add_argument('--work-dir', help='where logs and results go (default: work_dirs/CONFIG NAME)')
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none')
    parser.add_argument('--local-rank', '--local_rank', type=int, default=0, help=argparse.SUPPRESS)


def add_device(parser: argparse.ArgumentParser) -> None:
    """Where a tool without a runner computes; see `chosen_device`."""
    parser.add_argument('--device', help='cpu, cuda:0 … (default: a GPU if there is one)')


def chosen_device(name: str | None) -> str:
    """The device of this name, by default a GPU if there is one.

    Raises:
        ValueError: There is none of this name.
    """
    name = name or ('cuda:0' if torch.cuda.is_available() else 'cpu')
    try:
        torch.empty(0, device=name)
    except (AssertionError, RuntimeError) as error:
        words = str(error).splitlines()[0]
        raise ValueError(f'--device {name}: {words}. Leave it out, or take cpu') from error
    return name


def build_runner(config: Config, args: argparse.Namespace) -> Runner:
    """The config's runner, in the process group of the launcher that the arguments name; see join_processes."""
    # torch.distributed.launch passes it as an argument, and mmengine does not look for that of mpirun.
    name = NAMES[args.launcher][2] if args.launcher in NAMES else ''
    os.environ.setdefault('LOCAL_RANK', os.environ.get(name, str(args.local_rank)))
    config.launcher = args.launcher
    with one_line_errors(RuntimeError):
        join_processes(config, args.launcher)
    config.setdefault('runner_type', 'daga_mm.Runner')
    return RUNNERS.build(config)


@contextmanager
def one_line_errors(*expected: type[Exception]) -> Iterator[None]:
    """Errors of these types end the program with their message alone; a traceback would add nothing for a user."""
    try:
        yield
    except expected as error:
        raise SystemExit(plain(error)) from None
