"""From a checkpoint to predictions, in Python.

- ``tiling``: large images in tiles.
- ``drawing``: pictures of predictions.
- ``run_lengths``: masks in large images.
"""

from .drawing import draw_instances, draw_segmentation
from .run_lengths import compress, decode_columns, encode_mask
from .tiling import cut_into_tiles, detect_in_tiles, encode_instances, segment_in_tiles

__all__ = [
    'compress',
    'cut_into_tiles',
    'decode_columns',
    'detect_in_tiles',
    'draw_instances',
    'draw_segmentation',
    'encode_instances',
    'encode_mask',
    'segment_in_tiles',
]
