"""Data sets, samplers, and checks that data fit the model and the evaluator.

`daga_mm.datasets.camvid` needs mmsegmentation; the registry imports it where that is installed.
"""

from .. import compat  # noqa: F401  before mmseg is imported in camvid, which imports mmcv.ops
from .checked_pipeline import IMAGES, check_pipelines, classes_of, image_fault
from .checks import check_data, check_evaluation, require_same_classes
from .coco_files import reading
from .imagenet_folders import ImageNetFolders, wnids
from .samplers import DefaultSampler, InfiniteSampler, set_seed

__all__ = [
    'IMAGES',
    'DefaultSampler',
    'ImageNetFolders',
    'InfiniteSampler',
    'check_data',
    'check_evaluation',
    'check_pipelines',
    'classes_of',
    'image_fault',
    'reading',
    'require_same_classes',
    'set_seed',
    'wnids',
]
