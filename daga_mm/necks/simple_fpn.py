"""The simple feature pyramid of ViTDet: a few deconvolutions on the last map."""

from collections.abc import Sequence

import torch.nn.functional as F
from mmengine.model import BaseModule
from timm.layers import LayerNorm2d
from torch import Tensor, nn

from ..registry import MODELS


@MODELS.register_module()
class SimpleFPN(BaseModule):
    """The pyramid of "Exploring Plain Vision Transformer Backbones for Object Detection" (arXiv:2203.16527).

    With patches of 16 pixels the strides are 4, 8, 16, 32, and 64 … for further outputs::

        last map, stride 16 ─┬─ deconv, LN, GELU, deconv ─ 1×1, LN, 3×3, LN ─► 4
                             ├─ deconv ─────────────────── 1×1, LN, 3×3, LN ─► 8
                             ├──────────────────────────── 1×1, LN, 3×3, LN ─► 16
                             └─ max-pool ───────────────── 1×1, LN, 3×3, LN ─► 32 ─ subsampled ─► 64

    Args:
        embed_dims: Channels D of the backbone's map.
        out_channels: Channels of every output.
        num_outs: Number of outputs, 4 or more.
        init_cfg: Initialisation of the weights, as in mmengine.
    """

    def __init__(
        self, embed_dims: int, out_channels: int = 256, num_outs: int = 5, init_cfg: dict | None = None
    ) -> None:
        super().__init__(init_cfg)
        if num_outs < 4:
            raise ValueError(f'num_outs is {num_outs}, expected 4 or more')
        self.num_outs = num_outs
        half, quarter = embed_dims // 2, embed_dims // 4
        resizers: tuple[tuple[nn.Module, int], ...] = (
            (
                nn.Sequential(
                    nn.ConvTranspose2d(embed_dims, half, 2, stride=2),
                    LayerNorm2d(half),
                    nn.GELU(),
                    nn.ConvTranspose2d(half, quarter, 2, stride=2),
                ),
                quarter,
            ),
            (nn.ConvTranspose2d(embed_dims, half, 2, stride=2), half),
            (nn.Identity(), embed_dims),
            (nn.MaxPool2d(2, ceil_mode=True), embed_dims),  # an odd last column keeps a pixel of its own
        )
        self.levels = nn.ModuleList(
            nn.Sequential(
                resize,
                nn.Conv2d(channels, out_channels, 1, bias=False),
                LayerNorm2d(out_channels),
                nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
                LayerNorm2d(out_channels),
            )
            for resize, channels in resizers
        )

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Maps of the backbone, of which the last (B, D, h, w) is used -> ``num_outs`` maps, from fine to coarse."""
        maps = [level(inputs[-1]) for level in self.levels]
        while len(maps) < self.num_outs:
            maps.append(F.max_pool2d(maps[-1], kernel_size=1, stride=2))
        # mmcv's compiled RoIAlign reads any other memory layout wrongly (open-mmlab/mmcv#2203).
        return tuple(m.contiguous() for m in maps)
