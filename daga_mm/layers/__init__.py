"""Pieces in plain PyTorch that several packages use: no OpenMMLab, no timm."""

from .deformable_sampling import sample_deformably
from .guidance import class_attention, normalize_map
from .padding import ceil_div, pad_to_multiple
from .precision import without_autocast
from .spatial_prior import SpatialPrior

__all__ = [
    'SpatialPrior',
    'ceil_div',
    'class_attention',
    'normalize_map',
    'pad_to_multiple',
    'sample_deformably',
    'without_autocast',
]
