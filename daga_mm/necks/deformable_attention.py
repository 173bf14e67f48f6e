"""Deformable attention on one map: mmcv's module, with mmcv's kernel if it is compiled and exact."""

import torch
from mmcv.ops import MultiScaleDeformableAttention
from mmcv.ops.multi_scale_deform_attn import MultiScaleDeformableAttnFunction
from torch import Tensor

from ..compat.mmcv_ops import mmcv_kind
from ..layers import sample_deformably

_COMPILED = mmcv_kind() == 'compiled'


class DeformableAttention(MultiScaleDeformableAttention):
    """mmcv's module for one level, with its parameters; without its kernel samples are summed without storing them.

    Args:
        embed_dims: Channels D of queries and map.
        num_heads: Heads.
        num_points: Points that each head reads.
        value_proj_ratio: Channels of the values, as a part of D.
    """

    def __init__(self, embed_dims: int, num_heads: int, num_points: int, value_proj_ratio: float) -> None:
        super().__init__(
            embed_dims,
            num_heads,
            num_levels=1,
            num_points=num_points,
            dropout=0.0,
            batch_first=True,
            value_proj_ratio=value_proj_ratio,
        )

    def forward(self, query: Tensor, value: Tensor, identity: Tensor, points: Tensor, grid: tuple[int, int]) -> Tensor:
        """Queries (B, N, D) -> queries (B, N, D), with ``identity`` added.

        Args:
            query: (B, N, D).
            value: (B, h·w, D), the map.
            identity: (B, N, D).
            points: (N, 2), x and y of the queries in the map's unit square.
            grid: Height h and width w of the map.
        """
        heads = (self.num_heads, 1, self.num_points)  # there is one level
        offsets = self.sampling_offsets(query).unflatten(-1, (*heads, 2))  # (B, N, heads, 1, points, 2), in pixels
        weights = self.attention_weights(query).unflatten(-1, heads).softmax(-1)
        values = self.value_proj(value).unflatten(-1, (self.num_heads, -1))  # (B, h·w, heads, C)
        # In float32, since bfloat16 cannot represent every integer above 256.
        size = torch.tensor([grid[1], grid[0]], device=offsets.device, dtype=torch.float32)
        locations = points[:, None, None, None] + offsets / size
        if _kernel_serves(values):
            shapes = torch.tensor([grid], device=values.device)
            levels = (values, shapes, shapes.new_zeros(1), locations, weights)
            read = MultiScaleDeformableAttnFunction.apply(*levels, self.im2col_step)
        else:
            read = sample_deformably(values, [grid], locations, weights)
        return self.output_proj(read) + identity


def _kernel_serves(values: Tensor) -> bool:
    """Whether mmcv's kernel can be used for these values.

    It converts locations to the type of the values, which in bfloat16 moves them by up to 2.6 pixels of 1344.
    """
    return _COMPILED and values.is_cuda and values.dtype == torch.float32
