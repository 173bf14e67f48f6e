"""A scene in the words of each data set: COCO annotations, a depth sensor's millimetres. No files here."""

import cv2
import numpy as np

from .labels import LABELS
from .scene import Scene

MIN_AREA = 16  # pixels; an object that shows less is not annotated
DEPTH_RANGE = (0.5, 10.0)  # metres that the sensor measures


def uncompressed_rle(mask: np.ndarray) -> dict:
    """COCO's uncompressed run lengths of a mask (H, W): column by column, the first run counts zeros."""
    flat = mask.astype(bool).ravel(order='F')
    ends = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    counts = np.diff(np.concatenate([[0], ends, [flat.size]])).tolist()
    return {'counts': [0, *counts] if flat[0] else counts, 'size': [int(n) for n in mask.shape]}


def coco_annotations(scene: Scene) -> list[dict]:
    """The annotations of a scene's COCO objects, without ids; a crowd has iscrowd 1.

    `segmentation` is run lengths, `area` the mask's pixels and `bbox` its x, y, width, height in pixels; what shows on
    fewer than MIN_AREA pixels is left out.
    """
    annotations = []
    for thing in scene.objects:
        category = LABELS[thing.name].coco
        if category is None or thing.area < MIN_AREA:
            continue
        mask = scene.instance == thing.instance
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        box = [columns[0], rows[0], columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1]
        annotations.append({
            'segmentation': uncompressed_rle(mask),
            'area': thing.area,
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
