"""A contact sheet: each scene's image, classes, objects and depth side by side."""

import cv2
import numpy as np

from .labels import CEILING, FLOOR, WALL
from .portrait import CLASSES, render_portrait
from .scene import Scene, render_scene


def class_colours(ids: np.ndarray) -> np.ndarray:
    """(…, 3) uint8 RGB, one colour per id, the same in every picture; 0 is dark grey."""
    steps = np.arange(256)
    hsv = np.stack([steps * 111 % 180, 120 + steps * 29 % 110, 150 + steps * 53 % 106], axis=-1).astype(np.uint8)
    table = cv2.cvtColor(hsv[None], cv2.COLOR_HSV2RGB)[0]
    table[[0, WALL, FLOOR, CEILING]] = [[45] * 3, [128, 124, 118], [92, 76, 64], [176, 176, 168]]
    return table[ids.astype(np.int64) % 256]


def instance_colours(numbers: np.ndarray) -> np.ndarray:
    """(…, 3) uint8 RGB, one colour per object's number; 0 is dark grey."""
    return class_colours(np.where(numbers > 0, numbers + 150, 0))


def depth_colours(depth: np.ndarray, far: float = 7.0) -> np.ndarray:
    """(H, W, 3) uint8 RGB of metres; red is near, blue is far, black is no reading (0)."""
    nearness = 255 * (1 - np.clip(depth / far, 0, 1))
    colours = cv2.applyColorMap(nearness.astype(np.uint8), cv2.COLORMAP_TURBO)[..., ::-1].copy()
    colours[depth <= 0] = 0
    return colours


def panels(scene: Scene) -> np.ndarray:
    """(H, 4 W, 3) uint8 RGB: image, classes, objects, depth."""
    return np.concatenate(
        [scene.image, class_colours(scene.semantic), instance_colours(scene.instance), depth_colours(scene.depth)],
        axis=1,
    )


def contact_sheet(seed: int = 0, size: tuple[int, int] = (192, 144), rows: int = 6, columns: int = 2) -> np.ndarray:
    """uint8 RGB: rows × columns rooms with their labels, and a last row of object-centred images."""
    rooms = [panels(render_scene((seed, 0, i), size)) for i in range(rows * columns)]
    sheet = np.concatenate([np.concatenate(rooms[i::rows], axis=1) for i in range(rows)])
    across = sheet.shape[1] // size[1]
    single = [render_portrait((seed, 0, i), CLASSES[i % len(CLASSES)], (size[1],) * 2).image for i in range(across)]
    last = np.concatenate(single, axis=1)
    last = np.pad(last, ((0, 0), (0, sheet.shape[1] - last.shape[1]), (0, 0)))
    return np.concatenate([sheet, last])
