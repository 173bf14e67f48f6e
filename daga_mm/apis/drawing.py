"""Draw predictions on images of any size: letters and lines scale with the image."""

from collections.abc import Sequence

import cv2
import numpy as np
from mmengine.structures import InstanceData
from PIL import Image, ImageDraw, ImageFont

from .run_lengths import decode_columns

Colour = Sequence[int]  # RGB in 0..255
OPACITY = 0.5
LETTERS = 1 / 50  # of the shorter side of the image: their height
LEAST = 12  # pixels
PLACED = 512  # pixels of the longer side of the map on which places for names are looked for


def draw_instances(
    image: np.ndarray, found: InstanceData, classes: Sequence[str], palette: Sequence[Colour]
) -> np.ndarray:
    """Boxes with the names of classes and scores in percent, and masks in the colours of the classes.

    Args:
        image: (H, W, 3), uint8, RGB.
        found: What `detect_in_tiles` or `encode_instances` returns. High scores are drawn over low ones.
        classes: The names of the classes.
        palette: Their colours.

    Returns:
        The picture, (H, W, 3), uint8, RGB.
    """
    picture = image.copy()
    found = found[found.scores.argsort(stable=True)]
    for mask, label in zip(found.get('masks', ()), found.labels.tolist(), strict=False):
        strip, left = decode_columns(mask)
        if strip.size:
            _tint(picture[:, left : left + strip.shape[1]], strip, palette[label])
    pen = _Pen(picture)
    for box, label, score in zip(found.bboxes.tolist(), found.labels.tolist(), found.scores.tolist(), strict=True):
        pen.box(box, palette[label])
        pen.text(f'{classes[label]} {100 * score:.0f}', box[0], box[1], palette[label])
    return picture


def draw_segmentation(
    image: np.ndarray, labels: np.ndarray, classes: Sequence[str], palette: Sequence[Colour]
) -> np.ndarray:
    """The classes of pixels in colours, and the name of each where its region is widest.

    Args:
        image: (H, W, 3), uint8, RGB.
        labels: (H, W), integers; pixels whose label is not a class are left unchanged.
        classes: The names of the classes.
        palette: Their colours.

    Returns:
        The picture, (H, W, 3), uint8, RGB.
    """
    known = labels < len(classes)
    colours = np.asarray(palette, np.uint8)[np.where(known, labels, 0)]  # (H, W, 3)
    picture = np.where(known[..., None], cv2.addWeighted(image, 1 - OPACITY, colours, OPACITY, 0), image)
    step = -(-max(labels.shape) // PLACED)
    small = labels[::step, ::step]
    pen = _Pen(picture)
    for label in np.unique(small[small < len(classes)]).tolist():
        region = np.pad(small == label, 1).astype(np.uint8)
        inside = cv2.distanceTransform(region, cv2.DIST_L2, 5)[1:-1, 1:-1]  # from the edge of the region
        row, column = np.unravel_index(inside.argmax(), inside.shape)
        pen.text(classes[label], column * step, row * step, palette[label], centred=True)
    return picture


def _tint(pixels: np.ndarray, mask: np.ndarray, colour: Colour) -> None:
    """Mix a colour into the pixels (H, w, 3) of a mask (H, w), in place."""
    (rows,) = np.nonzero(mask.any(axis=1))
    part, inside = pixels[rows[0] : rows[-1] + 1], mask[rows[0] : rows[-1] + 1]
    part[inside] = (1 - OPACITY) * part[inside] + OPACITY * np.asarray(colour)


class _Pen:
    """Draws boxes and words in a size that is legible in the picture.

    Args:
        picture: (H, W, 3), uint8, RGB; drawn on in place.
    """

    def __init__(self, picture: np.ndarray) -> None:
        letters = max(LEAST, round(LETTERS * min(picture.shape[:2])))
        self.picture = picture
        self.width = max(1, letters // 8)
        self.font = ImageFont.load_default(letters)

    def box(self, box: Sequence[float], colour: Colour) -> None:
        left, top, right, bottom = map(round, box)
        cv2.rectangle(self.picture, (left, top), (right - 1, bottom - 1), _ints(colour), self.width)

    def text(self, text: str, x: float, y: float, colour: Colour, centred: bool = False) -> None:
        """Words on a coloured background, from their upper left corner or around a position, inside the picture."""
        margin = 2 * self.width
        left, top, right, bottom = self.font.getbbox(text)
        sides = round(right - left) + 2 * margin, round(bottom - top) + 2 * margin
        patch = Image.new('RGB', sides, _ints(colour))
        bright = np.dot(colour, (0.299, 0.587, 0.114)) > 140  # ITU-R BT.601
        ink = 'black' if bright else 'white'
        ImageDraw.Draw(patch).text((margin - left, margin - top), text, ink, self.font)
        height, width = (min(pair) for pair in zip(patch.size[::-1], self.picture.shape, strict=False))
        row = int(np.clip(y - centred * height / 2, 0, self.picture.shape[0] - height))
        column = int(np.clip(x - centred * width / 2, 0, self.picture.shape[1] - width))
        self.picture[row : row + height, column : column + width] = np.asarray(patch)[:height, :width]


def _ints(colour: Colour) -> tuple[int, ...]:
    """mmdet's random colours have NumPy's integers, which OpenCV and Pillow refuse."""
    return tuple(map(int, colour))
