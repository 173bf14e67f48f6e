"""Device, mixed precision and runner, as the command line asks for them."""

import argparse
import os

import torch
from mmengine.config import Config, ConfigDict
from mmengine.registry import RUNNERS

from ..engine import Runner
from ..errors import as_run_error
from .launch import NAMES, join_processes


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
        raise ValueError(f'device {name}: {words}. Leave it out, or take cpu') from error
    return name


def enable_amp(config: Config) -> None:
    """Train in mixed precision: bfloat16 on the CPU and where the GPU has it, else float16 with a dynamic loss scale.

    Raises:
        ValueError: Mixed precision cannot replace the config's optimiser wrapper.
    """
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


def build_runner(config: Config, args: argparse.Namespace) -> Runner:
    """The config's runner, in the process group of the launcher that the arguments name; see join_processes.

    Raises:
        RunError: The launcher did not start this process.
    """
    # torch.distributed.launch passes it as an argument, and mmengine does not look for that of mpirun.
    name = NAMES[args.launcher][2] if args.launcher in NAMES else ''
    os.environ.setdefault('LOCAL_RANK', os.environ.get(name, str(args.local_rank)))
    config.launcher = args.launcher
    with as_run_error(RuntimeError):
        join_processes(config, args.launcher)
    config.setdefault('runner_type', 'daga_mm.Runner')
    return RUNNERS.build(config)
