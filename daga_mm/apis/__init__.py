"""From a checkpoint to predictions, in Python.

- ``tiling``: large images in tiles.
- ``drawing``: pictures of predictions.
- ``run_lengths``: masks in large images.
"""

from .drawing import draw_instances, draw_segmentation
from .tiling import as_dict, detect_in_tiles, encode_instances, segment_in_tiles

__all__ = ['as_dict', 'detect_in_tiles', 'draw_instances', 'draw_segmentation', 'encode_instances', 'segment_in_tiles']
