"""What training and testing need beyond mmengine: parameter groups, provenance, paths."""

from .config import enable_amp, load_config, path_names, require_data
from .optim_constructor import DAGAOptimWrapperConstructor
from .provenance import ProvenanceHook

__all__ = ['DAGAOptimWrapperConstructor', 'ProvenanceHook', 'enable_amp', 'load_config', 'path_names', 'require_data']
