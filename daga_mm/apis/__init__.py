"""From a checkpoint to predictions, in Python.

- ``model``: `load` a config and a checkpoint; predict, draw, and read the backbone's maps.
- ``many_tasks``: `load_tasks`, models of several tasks on one trunk.
- ``images``: files, folders, arrays and PIL images as input.
- ``inferencers``: the inferencers of mmdet, mmseg and mmpretrain in one form.
- ``tiling``: large images in tiles.
- ``drawing``: pictures of predictions.
- ``run_lengths``: masks in large images.
- ``deployed``: a model with the normalisation of its images inside.

A task package is imported when a model of it is loaded.
"""

from .images import find_images
from .many_tasks import Tasks, load_tasks
from .model import Model, Result, load

__all__ = ['Model', 'Result', 'Tasks', 'find_images', 'load', 'load_tasks']
