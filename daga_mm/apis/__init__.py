"""From a checkpoint to predictions, in Python.

- ``model``: `load` a config and a checkpoint; predict, draw, and read the backbone's maps.
- ``many_tasks``: `load_tasks`, models of several tasks on one trunk.
- ``images``: files, folders, arrays and PIL images as input.
- ``inferencers``: the inferencers of mmdet, mmseg and mmpretrain in one form.
- ``tiling``: large images in tiles.
- ``drawing``: pictures of predictions.
- ``run_lengths``: masks in large images.
- ``export``: a model as one file that runs without this package.
- ``deployed``: a model with the normalisation of its images inside.
- ``known_sizes``, ``adaptive_pool``: what graphs need of heads that compute with sizes.

A task package is imported when a model of it is loaded.
"""

from .export import export
from .images import find_images
from .many_tasks import Tasks, load_tasks
from .model import Model, Result, load

__all__ = ['Model', 'Result', 'Tasks', 'export', 'find_images', 'load', 'load_tasks']
