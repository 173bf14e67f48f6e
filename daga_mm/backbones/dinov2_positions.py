"""DINOv2's learned positions for images of any size, as the official implementation resamples them."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

_OFFSET = 0.1  # added to the number of output patches when the scale is computed


def resample_positions(positions: Tensor, grid: tuple[int, int]) -> Tensor:
    """Resample the positions of a DINOv2 without registers.

    Follows ``interpolate_pos_encoding`` of github.com/facebookresearch/dinov2 (dinov2/models/vision_transformer.py)
    with the settings of these models in dinov2/hub/backbones.py: bicubic, no antialiasing, an offset of 0.1. The models
    with registers use antialiasing and no offset, which is what timm does.

    Args:
        positions: (1, 1 + M·M, D), of the class token and of a square of M×M patches.
        grid: Rows h and columns w of patches in the image.

    Returns:
        (1, 1 + h·w, D) in the type of ``positions``, computed in float32; ``positions`` itself where h = w = M.
    """
    side = math.isqrt(positions.shape[1] - 1)
    if grid == (side, side):
        return positions
    patches = positions[:, 1:].float().transpose(1, 2).unflatten(2, (side, side))
    scale = [(n + _OFFSET) / side for n in grid]
    patches = F.interpolate(patches, scale_factor=scale, mode='bicubic').flatten(2).transpose(1, 2)
    return torch.cat([positions[:, :1], patches.to(positions.dtype)], dim=1)
