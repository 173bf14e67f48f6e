"""Heads that turn a vision transformer's maps into metres."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from mmcv.cnn import build_norm_layer
from mmseg.models.decode_heads import DPTHead
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.decode_heads.dpt_head import FeatureFusionBlock
from torch import Tensor, nn

from ..registry import MODELS
from .depth_bins import DepthBins

SIGLOG = dict(type='daga_mm.SigLogLoss')


class DepthHead(BaseDecodeHead):
    """Base of the depth heads: from logits to metres, resizing, and losses.

    Subclasses implement ``logits``, and their ``conv_seg`` gives one channel per bin.

    Args:
        num_bins: Bins of :class:`DepthBins`; None for regression.
        min_depth: Metres; readings up to here are not used in training.
        max_depth: Metres; readings from here on are not used in training.
        spacing: 'linear' or 'log' bins.
        patch_size: Patch size p of the backbone, in pixels. Maps of h × w patches cover h·p × w·p pixels.
        loss_decode: One loss or several. Each is called with metres (B, 1, H, W) and the truth of the same shape, 0
            where there is no usable reading.
        **kwargs: Those of mmseg's BaseDecodeHead.
    """

    def __init__(
        self,
        *,
        num_bins: int | None = 256,
        min_depth: float = 1e-3,
        max_depth: float = 10.0,
        spacing: Literal['linear', 'log'] = 'linear',
        patch_size: int = 16,
        loss_decode: dict | Sequence[dict] = SIGLOG,
        **kwargs: Any,
    ) -> None:
        to_depth = DepthBins(num_bins, min_depth, max_depth, spacing)
        # Not used here; without it upstream warns about heads with a single channel.
        defaults = dict(num_classes=to_depth.in_channels, threshold=0.0, dropout_ratio=0.0, loss_decode=loss_decode)
        super().__init__(**defaults, **kwargs)
        self.num_classes = self.out_channels = 1  # of the output: sliding windows are summed in such a map
        self.patch_size = patch_size
        self.to_depth = to_depth

    @abstractmethod
    def logits(self, inputs: Sequence[Tensor]) -> Tensor:
        """Maps -> one channel per bin, at any resolution."""

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Maps (B, D, h, w) -> metres (B, 1, h·p, w·p): of the image, and of its padding up to whole patches."""
        depth = self.to_depth(self.logits(inputs))
        height, width = (side * self.patch_size for side in inputs[0].shape[2:])
        return F.interpolate(depth, (height, width), mode='bilinear', align_corners=self.align_corners)

    def loss_by_feat(self, depth: Tensor, batch_data_samples: Sequence) -> dict[str, Tensor]:
        """Metres and samples with a ``gt_depth_map`` -> losses by name.

        Raises:
            ValueError: The truth is larger than the head's input.
        """
        truth = torch.stack([sample.gt_depth_map.data for sample in batch_data_samples]).to(depth)  # (B, 1, H, W)
        height, width = truth.shape[2:]
        if height > depth.shape[2] or width > depth.shape[3]:
            raise ValueError(
                f'depth of {height}×{width} pixels for maps of {depth.shape[2]}×{depth.shape[3]}: in training, image '
                'and depth are resized and cropped together, and patch_size is that of the backbone'
            )
        usable = (truth > self.to_depth.min_depth) & (truth < self.to_depth.max_depth)
        truth = torch.where(usable, truth, 0)
        depth = depth[..., :height, :width]
        modules = self.loss_decode if isinstance(self.loss_decode, nn.ModuleList) else [self.loss_decode]
        return {str(loss.loss_name): loss(depth, truth) for loss in modules}


@MODELS.register_module()
class LinearDepthHead(DepthHead):
    """DINOv3's linear probe for depth: concatenated maps, batch norm, 1×1 convolution, bins.

    After dinov3/eval/depth: no class token, no upsampling before the convolution; the metres are upsampled.

    Args:
        in_channels: Channels of each map.
        norm_cfg: Synchronised batch norm by default, which is batch norm in a single process.
        **kwargs: Those of :class:`DepthHead`.
    """

    def __init__(self, in_channels: Sequence[int], norm_cfg: dict | None = None, **kwargs: Any) -> None:
        super().__init__(
            in_channels=list(in_channels),
            in_index=list(range(len(in_channels))),
            input_transform='resize_concat',
            channels=sum(in_channels),
            norm_cfg=norm_cfg or dict(type='SyncBN'),
            **kwargs,
        )
        self.norm = build_norm_layer(self.norm_cfg, self.channels)[1]

    def logits(self, inputs: Sequence[Tensor]) -> Tensor:
        """Maps (B, D, h, w) -> (B, N, h, w)."""
        return self.cls_seg(self.norm(self._transform_inputs(inputs)))


@MODELS.register_module()
class DPTDepthHead(DepthHead, DPTHead):
    """DPT (arXiv:2103.13413), mmseg's, on the plain maps of four blocks.

    The four maps are reassembled at strides 4, 8, 16 and 32 and fused from coarse to fine, to half the image's
    resolution. Class tokens are not used (DPT's 'ignore' readout).

    Args:
        embed_dims: Channels D of the maps.
        channels: Channels of the fusion blocks.
        post_process_channels: Channels of the reassembled maps. None: D/8, D/4, D/2, D, as in DINOv2's.
        norm_cfg: Synchronised batch norm by default, which is batch norm in a single process.
        **kwargs: Those of :class:`DepthHead`.
    """

    def __init__(
        self,
        embed_dims: int,
        channels: int = 256,
        post_process_channels: Sequence[int] | None = None,
        norm_cfg: dict | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            embed_dims=embed_dims,
            in_channels=[embed_dims] * 4,
            in_index=[0, 1, 2, 3],
            input_transform='multiple_select',
            channels=channels,
            post_process_channels=list(post_process_channels or (embed_dims // part for part in (8, 4, 2, 1))),
            norm_cfg=norm_cfg or dict(type='SyncBN'),
            **kwargs,
        )
        for block in self.fusion_blocks:
            block.__class__ = _TraceableFusion

    def logits(self, inputs: Sequence[Tensor]) -> Tensor:
        """Four maps (B, D, h, w) -> (B, N, 8h, 8w) for even h and w."""
        return DPTHead.forward(self, [(x, None) for x in inputs])


class _TraceableFusion(FeatureFusionBlock):
    def forward(self, x: Tensor, *finer: Tensor) -> Tensor:
        # mmseg branches on the sizes, and an exported graph would keep one branch.
        return super().forward(x, *(F.interpolate(one, x.shape[2:], mode='bilinear') for one in finer))
