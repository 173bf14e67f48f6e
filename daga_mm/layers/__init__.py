"""The method itself, in plain PyTorch: no OpenMMLab, no timm."""

from .daga import DAGA, AttentionEncoder, HeadsDAGA, HeadsEncoder
from .deformable_sampling import sample_deformably
from .guidance import class_attention, normalize_map
from .spatial_prior import SpatialPrior

__all__ = [
    'DAGA',
    'AttentionEncoder',
    'HeadsDAGA',
    'HeadsEncoder',
    'SpatialPrior',
    'class_attention',
    'normalize_map',
    'sample_deformably',
]
