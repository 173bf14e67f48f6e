"""Pieces in plain PyTorch that several packages use: no OpenMMLab, no timm."""

from .deformable_sampling import sample_deformably
from .guidance import class_attention, normalize_map
from .precision import without_autocast
from .spatial_prior import SpatialPrior

__all__ = ['SpatialPrior', 'class_attention', 'normalize_map', 'sample_deformably', 'without_autocast']
