"""The method itself, in plain PyTorch: no OpenMMLab, no timm."""

from .daga import DAGA, AttentionEncoder
from .guidance import class_attention, normalize_map
from .spatial_prior import SpatialPrior

__all__ = ['DAGA', 'AttentionEncoder', 'SpatialPrior', 'class_attention', 'normalize_map']
