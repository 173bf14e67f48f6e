"""The registries of daga_mm, children of mmengine's.

``type='daga_mm.X'`` in any OpenMMLab config resolves here. mmengine imports every location of a registry
when it first looks into it, and reports an ImportError in there as "not in the registry": so a location that
needs a package that may be absent is only listed where that package is installed.
"""

from mmengine.registry import HOOKS as MMENGINE_HOOKS
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS as MMENGINE_OPTIM_WRAPPER_CONSTRUCTORS
from mmengine.registry import Registry

MODELS = Registry('model', parent=MMENGINE_MODELS, scope='daga_mm', locations=['daga_mm.backbones', 'daga_mm.necks'])
HOOKS = Registry('hook', parent=MMENGINE_HOOKS, scope='daga_mm', locations=['daga_mm.engine'])
OPTIM_WRAPPER_CONSTRUCTORS = Registry(
    'optimizer wrapper constructor',
    parent=MMENGINE_OPTIM_WRAPPER_CONSTRUCTORS,
    scope='daga_mm',
    locations=['daga_mm.engine'],
)
