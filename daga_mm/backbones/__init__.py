"""DAGAViT, its trunks and their weight files."""

from .. import compat  # noqa: F401  mmengine then loads checkpoints of a DAGAViT safely
from .daga_vit import DAGAViT
from .dinov3_trunk import DINOv3Trunk
from .lookup import find_backbones, unwrap
from .shared_blocks import shared_blocks
from .timm_trunk import TIMM_NAMES, TimmTrunk
from .trunk import Trunk, build_trunk

__all__ = [
    'TIMM_NAMES',
    'DAGAViT',
    'DINOv3Trunk',
    'TimmTrunk',
    'Trunk',
    'build_trunk',
    'find_backbones',
    'shared_blocks',
    'unwrap',
]
