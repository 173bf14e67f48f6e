"""Monocular depth, in metres: heads, losses, metrics, data and pictures for mmseg's depth estimators.

In this package depth is in metres along the optical axis, 0 means no reading, and readings that are not strictly inside
the range are not used. A head's ``forward`` and a model's ``mode='tensor'`` return metres (B, 1, H, W).
"""

from .. import compat  # noqa: F401  before mmseg is imported below, which imports mmcv.ops
from .depth_bins import DepthBins
from .depth_estimator import DepthEstimator
from .depth_metric import DepthMetric, depth_errors
from .draw import draw_depth, write_depth_png, write_point_cloud
from .heads import DepthHead, DPTDepthHead, LinearDepthHead
from .losses import DepthGradientLoss, SigLogLoss
from .nyu import NYUDataset
from .transforms import ColorAug, FixedCrop, LoadDepthAnnotation

__all__ = [
    'ColorAug', 'DPTDepthHead', 'DepthBins', 'DepthEstimator', 'DepthGradientLoss', 'DepthHead', 'DepthMetric',
    'FixedCrop', 'LinearDepthHead', 'LoadDepthAnnotation', 'NYUDataset', 'SigLogLoss', 'depth_errors', 'draw_depth',
    'write_depth_png', 'write_point_cloud',
]  # fmt: skip
