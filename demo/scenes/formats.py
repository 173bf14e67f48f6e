"""A scene in the words of each data set: COCO annotations, a depth sensor's millimetres. No files here."""

import cv2
import numpy as np

from .labels import LABELS
from .scene import Scene

MIN_FRAGMENT = 4  # pixels; a smaller visible scrap of an object is left out
MIN_AREA = 16  # pixels; an object that shows less is not annotated
DEPTH_RANGE = (0.5, 10.0)  # metres that the sensor measures


def uncompressed_rle(mask: np.ndarray) -> dict:
    """COCO's uncompressed run lengths of a mask (H, W): column by column, the first run counts zeros."""
    flat = mask.astype(bool).ravel(order='F')
    ends = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    counts = np.diff(np.concatenate([[0], ends, [flat.size]])).tolist()
    return {'counts': [0, *counts] if flat[0] else counts, 'size': [int(n) for n in mask.shape]}


def without_scraps(mask: np.ndarray) -> np.ndarray:
    """The mask without connected parts below MIN_FRAGMENT pixels."""
    count, parts, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    keep = stats[:, cv2.CC_STAT_AREA] >= MIN_FRAGMENT
    keep[0] = False
    return keep[parts] if count > 1 else mask.astype(bool)


def polygons(mask: np.ndarray) -> list[list[float]]:
    """Outlines of a mask (H, W), in pixels, x and y alternating; a part with a hole is cut in two through the hole.

    A COCO polygon has no holes, and its corner (0, 0) is the upper left corner of the first pixel. The mask is traced
    at four times its size: a contour runs through pixel centres, and would lose half a pixel all around.
    """
    found = []
    count, parts, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    for part in range(1, count):
        x, y, w, h, _ = stats[part]
        found += _outlines((parts[y : y + h, x : x + w] == part).astype(np.uint8), x, y)
    return found


def _outlines(part: np.ndarray, x: int, y: int) -> list[list[float]]:
    scale = 4
    # the border keeps the contour of a part that fills its window apart from the window's edge
    large = cv2.copyMakeBorder(np.kron(part, np.ones((scale, scale), np.uint8)), 1, 1, 1, 1, cv2.BORDER_CONSTANT)
    contours, tree = cv2.findContours(large, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    inner = [c for c, (_, _, _, parent) in zip(contours, tree[0], strict=True) if parent >= 0]
    if inner:
        middle = (inner[0][:, 0, 0].min() + inner[0][:, 0, 0].max()) / 2
        cut = int(np.clip(round((middle - 1) / scale), 1, part.shape[1] - 1))
        left, right = part.copy(), part.copy()
        left[:, cut:], right[:, :cut] = 0, 0
        found = []
        for side in (left, right):
            count, pieces = cv2.connectedComponents(side, connectivity=4)
            for k in range(1, count):
                found += _outlines((pieces == k).astype(np.uint8), x, y)
        return found
    found = []
    for contour in contours:
        points = (contour[:, 0].astype(float) - 0.5) / scale  # border 1, centre 0.5
        found.append(np.round(points + np.array([x, y]), 2).ravel().tolist())
    return found


def coco_annotations(scene: Scene) -> list[dict]:
    """The annotations of a scene's COCO objects, without ids; a crowd is one run-length mask with iscrowd 1.

    `area` is the mask's pixels and `bbox` its x, y, width, height in pixels; what shows on fewer than MIN_AREA pixels
    is left out.
    """
    annotations = []
    for thing in scene.objects:
        category = LABELS[thing.name].coco
        if category is None or thing.area < MIN_AREA:  # known before its mask is made
            continue
        mask = without_scraps(scene.instance == thing.instance)
        area = int(mask.sum())
        if area < MIN_AREA:
            continue
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        box = [columns[0], rows[0], columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1]
        annotations.append({
            'segmentation': uncompressed_rle(mask) if thing.crowd else polygons(mask),
            'area': area,
            'iscrowd': int(thing.crowd),
            'bbox': [int(v) for v in box],
            'category_id': category,
        })  # fmt: skip
    return annotations


def sensor_depth(scene: Scene, rng: np.random.Generator) -> np.ndarray:
    """(H, W) uint16 millimetres as a depth camera would give them; 0 where it has no reading.

    Valid is what is above 0. No reading: outside DEPTH_RANGE; within a pixel of a nearer thing's edge (a step of more
    than 8 % in depth), on its far side, which the sensor's emitter does not reach; and in a few small blots (about
    1 % of the pixels). Valid readings are exact to the millimetre.
    """
    depth = scene.depth
    nearest = cv2.erode(depth, np.ones((3, 3), np.uint8))
    valid = (depth >= DEPTH_RANGE[0]) & (depth <= DEPTH_RANGE[1]) & (depth < 1.08 * nearest)
    blots = cv2.GaussianBlur(rng.standard_normal(depth.shape, dtype=np.float32), (0, 0), 1.2)
    valid &= blots < 2.33 * blots.std()
    return np.where(valid, np.rint(depth * 1000), 0).astype(np.uint16)
