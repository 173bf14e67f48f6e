"""Panoptic segmentation with mmdet: pictures of segments."""

from .. import compat  # noqa: F401  before mmdet is imported below, which imports mmcv.ops
from .panoptic_visualizer import PanopticVisualizer

__all__ = ['PanopticVisualizer']
