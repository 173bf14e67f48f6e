"""What training and testing need beyond mmengine: parameter groups, runs that survive, launchers."""

from .bfloat16 import BFloat16OptimWrapper
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
from .token_cache_hook import TokenCacheHook

__all__ = [
    'BFloat16OptimWrapper',
    'CPUDataParallel',
    'CheckpointHook',
    'DAGAOptimWrapperConstructor',
    'ExactResumeHook',
    'FiniteLossHook',
    'ProvenanceHook',
    'Runner',
    'TokenCacheHook',
    'build_on_meta',
    'count_parameters',
    'dry_run',
    'join_processes',
    'panoptic_errors',
    'require_fit',
    'warn_of_normalization',
]
