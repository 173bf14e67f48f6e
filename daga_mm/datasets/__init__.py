"""Data sets that mmsegmentation lacks."""

from .. import compat  # noqa: F401  before mmseg is imported below, which imports mmcv.ops
from .camvid import CamVidDataset

__all__ = ['CamVidDataset']
