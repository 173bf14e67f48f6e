"""What training and testing need beyond mmengine: the runner, its hooks, parameter groups."""

from .bfloat16_optim_wrapper import BFloat16OptimWrapper
from .checkpoint_fit import require_fit
from .checkpoint_hook import CheckpointHook
from .cpu_data_parallel import CPUDataParallel
from .exact_resume_hook import ExactResumeHook
from .finite_loss_hook import FiniteLossHook
from .normalization import warn_of_normalization
from .optim_constructor import DAGAOptimWrapperConstructor
from .parameters import build_on_meta, count_parameters
from .provenance_hook import ProvenanceHook
from .run_errors import panoptic_errors
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
    'panoptic_errors',
    'require_fit',
    'warn_of_normalization',
]
