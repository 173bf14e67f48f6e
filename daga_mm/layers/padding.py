"""Padding to whole patches, written so that it can be traced.

In an exported graph sizes are symbols. There a branch would keep one of its sides, and later layers could not simplify
``-side % multiple``: with `ceil_div` the padded side is a multiple, and the size of each layer a short term.
"""

import torch.nn.functional as F
from torch import Tensor


def ceil_div(number: int, divisor: int) -> int:
    """``number / divisor``, rounded up."""
    return (number + divisor - 1) // divisor


def pad_to_multiple(images: Tensor, multiple: int, value: float = 0.0) -> Tensor:
    """Pad images (…, H, W) at the right and the bottom, until both sides are multiples of a number."""
    bottom, right = (ceil_div(side, multiple) * multiple - side for side in images.shape[-2:])
    return F.pad(images, (0, right, 0, bottom), value=value)
