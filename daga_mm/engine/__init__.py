"""What training and testing need beyond mmengine: parameter groups, provenance, paths, command lines."""

from .command_line import add_config, add_run_options, build_runner, make_parser, one_line_errors
from .config import enable_amp, load_config, path_names, require_data
from .optim_constructor import DAGAOptimWrapperConstructor
from .provenance import ProvenanceHook

__all__ = [
    'DAGAOptimWrapperConstructor',
    'ProvenanceHook',
    'add_config',
    'add_run_options',
    'build_runner',
    'enable_amp',
    'load_config',
    'make_parser',
    'one_line_errors',
    'path_names',
    'require_data',
]
