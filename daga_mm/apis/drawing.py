"""Draw predictions on images of any size: letters and lines grow with the image."""

from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .run_lengths import RunLengths, decode_columns

Colour = Sequence[int]  # RGB in 0..255
OPACITY = 0.5
LETTERS = 1 / 50  # of the shorter side of the image: their height
LEAST = 12  # pixels
PLACED = 512  # pixels of the longer side of the map on which places for names are looked for


def draw_instances(
    image: np.ndarray,
    boxes: np.ndarray,
    labels: Sequence[int],
    scores: Sequence[float],
    classes: Sequence[str],
    palette: Sequence[Colour],
    masks: Sequence[RunLengths] | None = None,
) -> np.ndarray:
    """Boxes with the names of classes and scores in percent, and masks in the colours of the classes.

    Args:
        image: (H, W, 3), uint8, RGB.
        boxes: (N, 4): left, top, right, bottom.
        labels: N numbers of classes.
        scores: N scores in 0..1; the highest is drawn last.
        classes: The names of the classes.
        palette: Their colours.
        masks: N masks.

    Returns:
        The picture, (H, W, 3), uint8, RGB.
    """
    picture = image.copy()
    order = np.argsort(scores, kind='stable').tolist()
    for index in order if masks is not None else ():
        strip, left = decode_columns(masks[index])
        if strip.size:
            _tint(picture[:, left : left + strip.shape[1]], strip, palette[labels[index]])
    pen = _Pen(picture)
    for index in order:
        colour = palette[labels[index]]
        pen.box(boxes[index], colour)
        pen.text(f'{classes[labels[index]]} {100 * scores[index]:.0f}', *boxes[index][:2], colour)
    return pen.picture()


def draw_segmentation(
    image: np.ndarray, labels: np.ndarray, classes: Sequence[str], palette: Sequence[Colour]
) -> np.ndarray:
    """The classes of pixels in colours, and the name of each where its region is widest.

    Args:
        image: (H, W, 3), uint8, RGB.
        labels: (H, W), integers; where they are no number of a class, the image stays as it is.
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
        pen.text(classes[label], column * step, row * step, palette[label], anchor='mm')
    return pen.picture()


def _tint(pixels: np.ndarray, mask: np.ndarray, colour: Colour) -> None:
    """Mix a colour into the pixels (H, w, 3) of a mask (H, w), in place."""
    (rows,) = mask.any(1).nonzero()
    part, inside = pixels[rows[0] : rows[-1] + 1], mask[rows[0] : rows[-1] + 1]
    part[inside] = (1 - OPACITY) * part[inside] + OPACITY * np.asarray(colour)


class _Pen:
    """Draws boxes and words on a picture, of a size that can be read in it.

    Args:
        picture: (H, W, 3), uint8, RGB.
    """

    def __init__(self, picture: np.ndarray) -> None:
        letters = max(LEAST, round(LETTERS * min(picture.shape[:2])))
        self.width = max(1, letters // 8)
        self.image = Image.fromarray(picture)
        self.draw = ImageDraw.Draw(self.image)
        self.font = ImageFont.load_default(letters)

    def box(self, box: np.ndarray, colour: Colour) -> None:
        self.draw.rectangle(box.tolist(), outline=tuple(colour), width=self.width)

    def text(self, text: str, x: float, y: float, colour: Colour, anchor: str = 'lt') -> None:
        """Words on a ground of a colour, moved into the picture."""
        left, top, right, bottom = self.draw.textbbox((x, y), text, self.font, anchor)
        margin = 2 * self.width
        x += max(0, margin - left) - max(0, right + margin - self.image.width)
        y += max(0, margin - top) - max(0, bottom + margin - self.image.height)
        left, top, right, bottom = self.draw.textbbox((x, y), text, self.font, anchor)
        self.draw.rectangle((left - margin, top - margin, right + margin, bottom + margin), fill=tuple(colour))
        bright = np.dot(colour, (0.299, 0.587, 0.114)) > 140
        self.draw.text((x, y), text, 'black' if bright else 'white', self.font, anchor)

    def picture(self) -> np.ndarray:
        return np.array(self.image)
