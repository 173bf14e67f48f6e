"""What training and testing need beyond mmengine: parameter groups, runs that survive, paths, command lines."""

from .atomic_backend import AtomicBackend, write_figure
from .bfloat16 import BFloat16OptimWrapper
from .checked_pipeline import IMAGES, check_pipelines, image_fault
from .checkpoint_fit import require_fit
from .checkpoint_hook import CheckpointHook
from .command_line import (
    add_config,
    add_device,
    add_run_options,
    build_runner,
    chosen_device,
    make_parser,
    one_line_errors,
    positive,
)
from .config import enable_amp, load_config, path_names, require_data, require_work_dir
from .dry_run import dry_run
from .errors import RunError, as_run_error
from .exact_resume import ExactResumeHook
from .finite_loss_hook import FiniteLossHook
from .launch import CPUDataParallel, join_processes
from .optim_constructor import DAGAOptimWrapperConstructor
from .parameters import build_on_meta, count_parameters
from .provenance import ProvenanceHook
from .runner import Runner
from .samplers import DefaultSampler, InfiniteSampler

__all__ = [
    'IMAGES',
    'AtomicBackend',
    'BFloat16OptimWrapper',
    'CPUDataParallel',
    'CheckpointHook',
    'DAGAOptimWrapperConstructor',
    'DefaultSampler',
    'ExactResumeHook',
    'FiniteLossHook',
    'InfiniteSampler',
    'ProvenanceHook',
    'RunError',
    'Runner',
    'add_config',
    'add_device',
    'add_run_options',
    'as_run_error',
    'build_on_meta',
    'build_runner',
    'check_pipelines',
    'chosen_device',
    'count_parameters',
    'dry_run',
    'enable_amp',
    'image_fault',
    'join_processes',
    'load_config',
    'make_parser',
    'one_line_errors',
    'path_names',
    'positive',
    'require_data',
    'require_fit',
    'require_work_dir',
    'write_figure',
]
