"""Multi-scale deformable attention (Zhu et al., Deformable DETR, 2021), by mmcv's own PyTorch formulation.

mmcv uses that formulation on the CPU and calls the extension on CUDA; here both compute the same.
"""

from torch import Tensor

from .autodiff import gradients, widen


def _attend(value: Tensor, locations: Tensor, weights: Tensor, spatial_shapes: list[list[int]]) -> Tensor:
    from mmcv.ops.multi_scale_deform_attn import multi_scale_deformable_attn_pytorch  # it imports us

    attended = multi_scale_deformable_attn_pytorch(widen(value), spatial_shapes, widen(locations), widen(weights))
    return attended.to(value.dtype)


def ms_deform_attn_forward(
    value: Tensor,
    value_spatial_shapes: Tensor,
    value_level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    im2col_step: int,
) -> Tensor:
    """Sample a few points of each level and sum them up with the attention weights.

    Args:
        value: (B, S, heads, D), the L levels' pixels one after the other.
        value_spatial_shapes: (L, 2), h and w of each level.
        value_level_start_index: (L,), follows from the shapes and is not read.
        sampling_locations: (B, N, heads, L, points, 2), x and y in 0..1.
        attention_weights: (B, N, heads, L, points).
        im2col_step: batch split of the CUDA kernel, not needed here.

    Returns:
        (B, N, heads · D).
    """
    shapes = value_spatial_shapes.tolist()  # at once: every int() of a CUDA element waits for the device
    return _attend(value, sampling_locations, attention_weights, shapes)


def ms_deform_attn_backward(
    value: Tensor,
    value_spatial_shapes: Tensor,
    value_level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    grad_output: Tensor,
    grad_value: Tensor,
    grad_sampling_loc: Tensor,
    grad_attn_weight: Tensor,
    im2col_step: int,
) -> None:
    """Write the gradients of ``ms_deform_attn_forward`` into the three ``grad_`` tensors."""
    shapes = value_spatial_shapes.tolist()

    def attend(value: Tensor, locations: Tensor, weights: Tensor) -> Tensor:
        return _attend(value, locations, weights, shapes)

    inputs = (value, sampling_locations, attention_weights)
    targets = (grad_value, grad_sampling_loc, grad_attn_weight)
    for target, gradient in zip(targets, gradients(attend, inputs, grad_output), strict=True):
        target.copy_(gradient)
