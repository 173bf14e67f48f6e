"""Multi-scale deformable attention (Zhu et al., Deformable DETR, 2021) as a weighted sum of rows.

mmcv computes it by `grid_sample` on the CPU, which takes several times as long, and by the extension on CUDA. Without
an extension the same function serves both, so that it replaces mmcv's own two in mmcv's module.
"""

import functools

import torch
from torch import Tensor

from daga_mm.layers import sample_deformably


def replace_deformable_attention() -> None:
    """Have mmcv's ``MultiScaleDeformableAttention``, and whoever calls its two functions, use ours."""
    from mmcv.ops import multi_scale_deform_attn as module

    @functools.wraps(module.multi_scale_deformable_attn_pytorch)  # which stays within reach, as `__wrapped__`
    def attend(
        value: Tensor, value_spatial_shapes: Tensor, sampling_locations: Tensor, attention_weights: Tensor
    ) -> Tensor:
        shapes = torch.as_tensor(value_spatial_shapes).tolist()  # at once: every int() of a CUDA element waits
        return sample_deformably(value, shapes, sampling_locations, attention_weights)

    def apply(value: Tensor, shapes: Tensor, starts: Tensor, locations: Tensor, weights: Tensor, step: int) -> Tensor:
        return attend(value, shapes, locations, weights)

    module.multi_scale_deformable_attn_pytorch = attend
    module.MultiScaleDeformableAttnFunction.apply = apply
