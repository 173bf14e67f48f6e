"""Masks of objects in large images as COCO's run lengths, read and written without a whole mask in memory.

``dict(size=[H, W], counts=(K,))``: numbers of pixels down the columns, alternating between outside and inside.
pycocotools compresses them to text, which it decodes to whole masks only.
"""

from typing import Any

import numpy as np

RunLengths = dict[str, Any]


def encode_mask(mask: np.ndarray, shape: tuple[int, int], top: int = 0, left: int = 0) -> RunLengths:
    """The run lengths of a mask that is a part of an image.

    Args:
        mask: (h, w), bool.
        shape: (H, W) of the image.
        top: The row of the image where the mask begins.
        left: The column.
    """
    height, width = shape
    (columns,) = np.nonzero(mask.any(axis=0))
    first, last = (columns[0], columns[-1] + 1) if columns.size else (0, 0)
    strip = np.zeros((last - first, height), bool)  # columns in a row
    strip[:, top : top + len(mask)] = mask[:, first:last].T
    ends = np.diff(strip.ravel(), prepend=False, append=False).nonzero()[0] + (left + first) * height
    counts = np.diff(ends[ends < height * width], prepend=0, append=height * width)
    return {'size': [height, width], 'counts': counts}


def decode_columns(mask: RunLengths) -> tuple[np.ndarray, int]:
    """The columns of a mask from its first pixel to its last: (H, w), bool, and the number of the first column."""
    height, _ = mask['size']
    ends = np.cumsum(mask['counts'])
    inside = ends[: len(ends) // 2 * 2]  # without a last run outside
    first, last = (inside[0] // height, -(-inside[-1] // height)) if inside.size else (0, 0)
    runs = np.diff(np.clip(ends, first * height, last * height), prepend=first * height)
    strip = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    return strip.reshape(last - first, height).T, int(first)


def compress(mask: RunLengths) -> dict[str, Any]:
    """Compress run lengths as in pycocotools and mmdet's JSON files: ``counts`` is text."""
    from pycocotools.mask import frPyObjects

    compressed = frPyObjects({**mask, 'counts': mask['counts'].tolist()}, *mask['size'])
    return {'size': mask['size'], 'counts': compressed['counts'].decode()}
