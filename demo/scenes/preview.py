"""Colours of classes."""

import cv2
import numpy as np

from .labels import CEILING, FLOOR, WALL


def class_colours(ids: np.ndarray) -> np.ndarray:
    """(…, 3) uint8 RGB, one colour per id, the same in every picture; 0 is dark grey."""
    steps = np.arange(256)
    hsv = np.stack([steps * 111 % 180, 120 + steps * 29 % 110, 150 + steps * 53 % 106], axis=-1).astype(np.uint8)
    table = cv2.cvtColor(hsv[None], cv2.COLOR_HSV2RGB)[0]
    table[[0, WALL, FLOOR, CEILING]] = [[45] * 3, [128, 124, 118], [92, 76, 64], [176, 176, 168]]
    return table[ids.astype(np.int64) % 256]
