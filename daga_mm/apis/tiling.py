"""Predict a large image in tiles, in bounded memory.

Each tile passes the test pipeline of the config as an image of its own, resizing included. An image that fits into
one tile has the same result as without tiles.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from mmengine.structures import InstanceData
from torch import Tensor
from torchvision.ops import batched_nms

from .run_lengths import compress, encode_mask

Interval = tuple[int, int]  # from, to
Tile = tuple[Interval, Interval]  # rows, columns
Predict = Callable[[Sequence[np.ndarray]], Iterable[Any]]

EDGE = 0.01  # of a tile's side: a box within this distance of an inner edge may be cut there
FRAGMENT = 0.7  # of a box's area: a cut box with this share inside another box of its class is a part of that object


def detect_in_tiles(
    predict: Predict, image: np.ndarray, size: int, overlap: int, iou_threshold: float = 0.5
) -> InstanceData:
    """Detect objects in tiles, and merge them by non-maximum suppression within each class.

    A box at a cut edge of its tile counts half its score, so that the tile with the whole object wins. An object larger
    than the overlap may be cut in every tile and is found in parts.

    Args:
        predict: Images -> data samples of mmdet, lazily, in their order; it may take several images at once.
        image: (H, W, 3), as ``predict`` takes images.
        size: Side of a tile in pixels.
        overlap: Number of pixels that neighbouring tiles have in common, at least.
        iou_threshold: IoU from which two boxes of a class are one object.

    Returns:
        The result of `encode_instances`, in descending order of the scores.

    Raises:
        ValueError: ``overlap`` is not in [0, size), or the model predicts no boxes.
    """
    shape = image.shape[:2]
    tiles = cut_into_tiles(shape, size, overlap)
    parts, cut = [], []
    for (rows, columns), sample in zip(tiles, predict(_crops(image, tiles)), strict=True):
        found = sample.get('pred_instances')
        if found is None or 'bboxes' not in found:
            raise ValueError('the model predicts no boxes, expected a detector with boxes to merge its tiles')
        cut.append(_is_cut(found.bboxes.cpu(), rows, columns, shape))
        parts.append(encode_instances(found, shape, rows[0], columns[0]))
    if len(parts) == 1:
        return parts[0]
    found, is_cut = InstanceData.cat(parts), torch.cat(cut)
    rank = found.scores * (1 - 0.5 * is_cut.float())
    kept = batched_nms(found.bboxes, rank, found.labels, iou_threshold)
    kept = kept[~_is_part(found.bboxes[kept], rank[kept], found.labels[kept], is_cut[kept])]
    return found[kept[found.scores[kept].argsort(descending=True, stable=True)]]


def segment_in_tiles(
    predict: Predict, image: np.ndarray, size: int, overlap: int, threshold: float | None = None
) -> np.ndarray:
    """Segment an image in tiles, and average the logits of overlapping pixels.

    Only the logits of pixels that further tiles cover are kept: memory grows with the overlap and the shorter side
    of the image rather than with its area.

    Args:
        predict: Images -> data samples of mmseg with ``seg_logits``, lazily, in their order.
        image: (H, W, 3), as ``predict`` takes images.
        size: Side of a tile in pixels.
        overlap: Number of pixels that neighbouring tiles have in common, at least.
        threshold: For a model with one output channel: mmseg's ``decode_head.threshold``, of the averaged probability.

    Returns:
        The classes of the pixels, (H, W), uint16.

    Raises:
        ValueError: ``overlap`` is not in [0, size).
    """
    tiles = cut_into_tiles(image.shape[:2], size, overlap)
    cells = _cells(tiles)
    covers = Counter(cell for parts in cells for cell in parts)
    labels = np.empty(image.shape[:2], np.uint16)
    sums: dict[Tile, tuple[Tensor, int]] = {}  # of the cells that further tiles cover, and of how many tiles
    for (rows, columns), parts, sample in zip(tiles, cells, predict(_crops(image, tiles)), strict=True):
        logits = sample.seg_logits.data  # (C, h, w)
        for cell in parts:
            (top, bottom), (left, right) = cell
            total = logits[:, top - rows[0] : bottom - rows[0], left - columns[0] : right - columns[0]]
            before, count = sums.pop(cell, (None, 0))
            if before is not None:
                total = before.add_(total)
            if count + 1 < covers[cell]:
                sums[cell] = total.to(torch.float32, copy=before is None), count + 1
            elif threshold is None or len(logits) > 1:
                labels[top:bottom, left:right] = total.argmax(0).cpu()
            else:
                labels[top:bottom, left:right] = (total[0] > threshold * covers[cell]).cpu()
        del logits, total, sample.seg_logits  # before the next tile's
    return labels


def encode_instances(found: InstanceData, shape: tuple[int, int], top: int = 0, left: int = 0) -> InstanceData:
    """Instances of a part of an image in the coordinates of the image, with masks as run lengths.

    Args:
        found: ``bboxes`` (N, 4), ``scores`` (N,), ``labels`` (N,), and ``masks`` (N, h, w) if there are any.
        shape: (H, W) of the image.
        top: The row of the image where the part begins.
        left: The column.

    Returns:
        The same on the CPU; ``masks`` is a list, see `encode_mask`.
    """
    found = found.cpu()
    encoded = InstanceData(
        bboxes=found.bboxes + found.bboxes.new_tensor([left, top, left, top]), scores=found.scores, labels=found.labels
    )
    if 'masks' in found:
        encoded.masks = [encode_mask(mask, shape, top, left) for mask in found.masks.numpy()]
    return encoded


def as_dict(found: InstanceData) -> dict[str, list]:
    """Instances as mmdet writes them to JSON: 'labels', 'scores', 'bboxes', and 'masks' in COCO's format."""
    written = {name: found[name].tolist() for name in ('labels', 'scores', 'bboxes')}
    return {**written, 'masks': [compress(mask) for mask in found.masks]} if 'masks' in found else written


def cut_into_tiles(shape: tuple[int, int], size: int, overlap: int) -> list[Tile]:
    """Tiles at equal distances that cover an image of (H, W) pixels, ordered along its shorter side first.

    A side that is shorter than ``size`` is not cut.

    Raises:
        ValueError: ``overlap`` is not in [0, size).
    """
    if not 0 <= overlap < size:
        raise ValueError(f'overlap is {overlap} for tiles of {size} pixels, expected 0 to {size - 1}')

    def intervals(length: int) -> list[Interval]:
        count = max(1, -(-(length - overlap) // (size - overlap)))
        starts = np.linspace(0, max(0, length - size), count).round().astype(int).tolist()
        return [(start, min(start + size, length)) for start in starts]

    rows, columns = map(intervals, shape)
    if len(rows) > len(columns):
        return [(one, other) for one in rows for other in columns]
    return [(one, other) for other in columns for one in rows]


def _crops(image: np.ndarray, tiles: Sequence[Tile]) -> list[np.ndarray]:
    return [image[slice(*rows), slice(*columns)] for rows, columns in tiles]


def _cells(tiles: Sequence[Tile]) -> list[list[Tile]]:
    """The parts of each tile between the edges of all tiles; the same tiles cover all pixels of a part."""
    cells = []
    lines = [sorted({edge for tile in tiles for edge in tile[axis]}) for axis in (0, 1)]
    for tile in tiles:
        inside = [
            [part for part in pairwise(line) if start <= part[0] and part[1] <= end]
            for line, (start, end) in zip(lines, tile, strict=True)
        ]
        cells.append([(rows, columns) for rows in inside[0] for columns in inside[1]])
    return cells


def _is_cut(boxes: Tensor, rows: Interval, columns: Interval, shape: tuple[int, int]) -> Tensor:
    """Which boxes (N, 4) of a tile end at an edge that is not one of the image: (N,), bool."""
    cut = torch.zeros(len(boxes), dtype=torch.bool)
    for axis, (start, end), length in ((0, columns, shape[1]), (1, rows, shape[0])):
        margin = EDGE * (end - start)
        if start > 0:
            cut |= boxes[:, axis] < margin
        if end < length:
            cut |= boxes[:, axis + 2] > end - start - margin
    return cut


def _is_part(boxes: Tensor, rank: Tensor, labels: Tensor, cut: Tensor) -> Tensor:
    """Which of the cut boxes lie in another box of their class and of a higher rank: (N,), bool."""
    part = torch.zeros_like(cut)
    for index in cut.nonzero().flatten().tolist():
        box, others = boxes[index], boxes[(labels == labels[index]) & (rank > rank[index])]
        shared = (torch.min(others[:, 2:], box[2:]) - torch.max(others[:, :2], box[:2])).clamp(min=0).prod(1)
        part[index] = (shared >= FRAGMENT * (box[2:] - box[:2]).prod()).any()
    return part
