"""DAGAViT, and what it needs of somebody else's vision transformer and its weights."""

from .daga_vit import DAGAViT
from .trunk import TIMM_NAMES, DINOv3Trunk, TimmTrunk, Trunk, build_trunk

__all__ = ['TIMM_NAMES', 'DAGAViT', 'DINOv3Trunk', 'TimmTrunk', 'Trunk', 'build_trunk']
