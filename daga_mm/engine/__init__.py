"""What training and testing need beyond mmengine: parameter groups, runs that survive, launchers."""

from ..errors import RunError, as_run_error
from .bfloat16 import BFloat16OptimWrapper
from .checked_pipeline import IMAGES, check_pipelines, image_fault
from .checkpoint_fit import require_fit
from .checkpoint_hook import CheckpointHook
from .dry_run import dry_run
from .errors import panoptic_errors
from .exact_resume import ExactResumeHook
from .finite_loss_hook import FiniteLossHook
from .launch import CPUDataParallel, join_processes
from .normalization import warn_of_normalization
from .optim_constructor import DAGAOptimWrapperConstructor
from .parameters import build_on_meta, count_parameters
from .provenance import ProvenanceHook
from .runner import Runner
from .samplers import DefaultSampler, InfiniteSampler
from .token_cache_hook import TokenCacheHook

__all__ = [
    'IMAGES',
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
    'TokenCacheHook',
    'as_run_error',
    'build_on_meta',
    'check_pipelines',
    'count_parameters',
    'dry_run',
    'image_fault',
    'join_processes',
    'panoptic_errors',
    'require_fit',
    'warn_of_normalization',
]
