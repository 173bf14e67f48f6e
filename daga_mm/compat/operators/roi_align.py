"""RoIAlign (He et al., 2017) by average, on torchvision."""

import torchvision
from torch import Tensor

from .autodiff import gradients, widen
from .refusal import not_compiled

MAX, AVG = 0, 1  # mmcv's numbers for pool_mode


def _pool(
    features: Tensor,
    rois: Tensor,
    output_size: tuple[int, int],
    spatial_scale: float,
    sampling_ratio: int,
    aligned: bool,
) -> Tensor:
    wide = widen(features)
    pooled = torchvision.ops.roi_align(wide, rois.to(wide.dtype), output_size, spatial_scale, sampling_ratio, aligned)
    return pooled.to(features.dtype)


def roi_align_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Pool regions of feature maps.

    Args:
        input: (B, C, H, W).
        rois: (K, 5), image index and x1 y1 x2 y2.
        output: (K, C, aligned_height, aligned_width), written to.
        argmax_y, argmax_x: of max pooling, unused.
        spatial_scale: feature map pixels per unit of the boxes.
        sampling_ratio: samples per bin and axis, 0 for as many as the bin has pixels.
        pool_mode: 1, average.
        aligned: shift by half a pixel, so that samples sit where the pixels are.

    Raises:
        NotImplementedError: max pooling.
    """
    if pool_mode != AVG:
        raise not_compiled("roi_align_forward with pool_mode='max'")
    size = (aligned_height, aligned_width)
    output.copy_(_pool(input, rois, size, spatial_scale, sampling_ratio, aligned))


def roi_align_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    grad_input: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Write the gradient of ``roi_align_forward`` by its input into ``grad_input`` (B, C, H, W)."""
    size = (aligned_height, aligned_width)

    def pool(features: Tensor) -> Tensor:
        return _pool(features, rois, size, spatial_scale, sampling_ratio, aligned)

    # The pooling is linear in the features: any of the right shape have the same gradient.
    grad_input.copy_(gradients(pool, [grad_input], grad_output)[0])
