"""The registries of daga_mm: children of mmengine's, and its own for trunks and adapters.

``type='daga_mm.X'`` in any OpenMMLab config resolves here. mmengine imports every location of a registry
when it first looks into it, and reports an ImportError in there as "not in the registry": so a location that
needs a package that may be absent is only listed where that package is installed.
"""

from importlib.util import find_spec

from mmengine.registry import DATA_SAMPLERS as MMENGINE_DATA_SAMPLERS
from mmengine.registry import DATASETS as MMENGINE_DATASETS
from mmengine.registry import HOOKS as MMENGINE_HOOKS
from mmengine.registry import LOOPS as MMENGINE_LOOPS
from mmengine.registry import METRICS as MMENGINE_METRICS
from mmengine.registry import MODEL_WRAPPERS as MMENGINE_MODEL_WRAPPERS
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS as MMENGINE_OPTIM_WRAPPER_CONSTRUCTORS
from mmengine.registry import OPTIM_WRAPPERS as MMENGINE_OPTIM_WRAPPERS
from mmengine.registry import RUNNERS as MMENGINE_RUNNERS
from mmengine.registry import TRANSFORMS as MMENGINE_TRANSFORMS
from mmengine.registry import VISUALIZERS as MMENGINE_VISUALIZERS
from mmengine.registry import Registry

DEPTH = ['daga_mm.depth'] if find_spec('mmseg') else []
CAMVID = ['daga_mm.datasets.camvid'] if find_spec('mmseg') else []
PANOPTIC = ['daga_mm.visualization.panoptic_visualizer'] if find_spec('mmdet') else []


def _child(parent: Registry, *locations: str) -> Registry:
    return Registry(parent.name, parent=parent, scope='daga_mm', locations=list(locations))


MODELS = _child(MMENGINE_MODELS, 'daga_mm.backbones', 'daga_mm.necks', 'daga_mm.evaluation', *DEPTH)
MODEL_WRAPPERS = _child(MMENGINE_MODEL_WRAPPERS, 'daga_mm.engine', 'daga_mm.evaluation')
HOOKS = _child(MMENGINE_HOOKS, 'daga_mm.engine', 'daga_mm.visualization')
OPTIM_WRAPPER_CONSTRUCTORS = _child(MMENGINE_OPTIM_WRAPPER_CONSTRUCTORS, 'daga_mm.engine')
OPTIM_WRAPPERS = _child(MMENGINE_OPTIM_WRAPPERS, 'daga_mm.engine')
RUNNERS = _child(MMENGINE_RUNNERS, 'daga_mm.engine')
LOOPS = _child(MMENGINE_LOOPS, 'daga_mm.evaluation')
METRICS = _child(MMENGINE_METRICS, 'daga_mm.evaluation', *DEPTH)
DATA_SAMPLERS = _child(MMENGINE_DATA_SAMPLERS, 'daga_mm.datasets')
DATASETS = _child(MMENGINE_DATASETS, 'daga_mm.datasets', *CAMVID, *DEPTH)
TRANSFORMS = _child(MMENGINE_TRANSFORMS, *DEPTH)
VISUALIZERS = _child(MMENGINE_VISUALIZERS, *PANOPTIC)
TRUNKS = Registry('trunk', scope='daga_mm', locations=['daga_mm.backbones'])
ADAPTERS = Registry('adapter', scope='daga_mm', locations=['daga_mm.adapters'])
