"""Synthetic indoor scenes that know every pixel's class, object and metric depth.

`render_scene(seed)` gives one; the writers give data sets in the layouts of ADE20K, COCO, NYU and ImageNet.
"""

from .labels import COCO_CATEGORIES, LABELS
from .portrait import CLASSES, render_portrait
from .scene import Scene, SceneObject, render_scene
from .writers import write_ade20k, write_coco, write_imagenet, write_nyu

__all__ = [
    'CLASSES', 'COCO_CATEGORIES', 'LABELS', 'Scene', 'SceneObject', 'render_portrait', 'render_scene',
    'write_ade20k', 'write_coco', 'write_imagenet', 'write_nyu',
]  # fmt: skip
