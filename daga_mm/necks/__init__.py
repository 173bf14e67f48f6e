"""Necks between a plain vision transformer and the heads: pyramids from maps of one stride, and a norm."""

from .. import compat  # noqa: F401  before mmcv.ops, which it may replace
from .map_norm import MapNorm
from .simple_fpn import SimpleFPN
from .vit_adapter import ViTAdapterNeck

__all__ = ['MapNorm', 'SimpleFPN', 'ViTAdapterNeck']
