"""A pyramid from a frozen ViT: a convolutional prior of the image reads the ViT's maps by deformable attention."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmcv.cnn import build_norm_layer
from mmcv.cnn.bricks import DropPath
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ..layers import SpatialPrior, ceil_div, pad_to_multiple, without_autocast
from ..registry import MODELS
from .deformable_attention import DeformableAttention

STRIDES = (4, 8, 16, 32)
Grids = list[tuple[int, int]]


@MODELS.register_module()
class ViTAdapterNeck(BaseModule):
    """ViT-Adapter (arXiv:2205.08534) without its injectors, as DINOv3 uses it on its frozen models.

    The trunk does not depend on the prior, so it can stay frozen and its maps can be computed first.
    ViT-Adapter fine-tunes everything, so its published scores do not apply::

        image ─► spatial prior ─► tokens at strides 8, 16, 32 ─► extractor ─► … ─► extractor ─► strides 8 16 32
                       │ stride 4                                 ▲ map 1           ▲ map 4         │
                       └──────────────────────────────── + upsampled stride 8 ◄─────────────────────┤
                                                                       every output + its ViT map ──┴─► norm

    Args:
        embed_dims: Channels D of the backbone's maps, and of the outputs.
        patch_size: The backbone's, in pixels.
        conv_inplane: Channels after the prior's stem.
        num_heads: Heads of the deformable attention. None: one per 64 channels.
        num_points: Points that each head reads.
        deform_ratio: Channels of the attention's values, as a part of D.
        ffn_ratio: Channels inside the extractors' feed-forward networks, as a part of D.
        num_extra: Further extractors that read the last map.
        start_level: The first output: 0 has stride 4. With 1 there are three outputs, for a head that begins at
            stride 8, and nothing is computed or trained for stride 4.
        drop_path_rate: Stochastic depth of the extractors.
        norm_cfg: Norm of the prior and of the outputs. Synchronised batch norm is batch norm in a single process.
        with_cp: Recompute activations in the backward pass, for memory.
        init_cfg: Initialisation of the weights, as in mmengine.
    """

    def __init__(
        self,
        embed_dims: int,
        patch_size: int = 16,
        conv_inplane: int = 64,
        num_heads: int | None = None,
        num_points: int = 4,
        deform_ratio: float = 0.5,
        ffn_ratio: float = 0.25,
        num_extra: int = 2,
        start_level: int = 0,
        drop_path_rate: float = 0.0,
        norm_cfg: dict | None = None,
        with_cp: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if start_level not in (0, 1):
            raise ValueError(f'start_level is {start_level}, expected 0 (stride 4) or 1 (stride 8)')
        self.embed_dims = embed_dims
        self.patch_size = patch_size
        self.start_level = start_level
        self.with_cp = with_cp
        norm_cfg = norm_cfg or dict(type='SyncBN')

        def norm(channels: int) -> nn.Module:
            return build_norm_layer(norm_cfg, channels)[1]

        self.prior = SpatialPrior(conv_inplane, embed_dims, norm)
        self.level_embed = nn.Parameter(torch.zeros(len(STRIDES) - 1, embed_dims))
        heads = num_heads or max(1, embed_dims // 64)
        self.extractors = nn.ModuleList(
            Extractor(embed_dims, heads, num_points, deform_ratio, ffn_ratio, drop_path_rate)
            for _ in range(len(STRIDES) + num_extra)
        )
        self.up = nn.ConvTranspose2d(embed_dims, embed_dims, 2, stride=2)
        self.norms = nn.ModuleList(norm(embed_dims) for _ in STRIDES[start_level:])
        if start_level:
            self.prior.projections[0] = self.up = nn.Identity()
        nn.init.normal_(self.level_embed)
        for part in (self.prior, self.up, *self.extractors):
            _init_as_dinov3(part)

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """The image and four maps of a ViT -> maps (B, D, ceil(H / s), ceil(W / s)) for s = 4, 8, 16, 32, or from 8 on.

        Args:
            inputs: The image (B, 3, H, W), as ``DAGAViT(with_image=True)`` puts it in front, then maps (B, D, h, w)
                with h = ceil(H / patch_size).

        Raises:
            ValueError: Not an image and four maps, or maps of another grid.
        """
        image, maps = self._check(inputs)
        height, width = image.shape[2:]
        fine, *coarse = self.prior(pad_to_multiple(image, STRIDES[-1]))  # strides 4; 8, 16, 32
        grids: Grids = [(level.shape[2], level.shape[3]) for level in coarse]
        # The padded image and the maps cover different extents: everything is located in the maps' own unit square.
        extent = [side * self.patch_size for side in maps[0].shape[2:]]
        references = [_centres(*grid, stride, extent, image) for grid, stride in zip(grids, STRIDES[1:], strict=True)]
        queries = torch.cat(
            [level.flatten(2).transpose(1, 2) + embed for level, embed in zip(coarse, self.level_embed, strict=True)],
            dim=1,
        )  # (B, N, D)
        points = torch.cat([reference.flatten(0, 1) for reference in references])  # (N, 2)
        for index, extractor in enumerate(self.extractors):
            features = maps[min(index, len(maps) - 1)]
            if self.with_cp and torch.is_grad_enabled():
                queries = checkpoint(extractor, queries, features, points, grids, use_reentrant=False)
            else:
                queries = extractor(queries, features, points, grids)

        outputs = _split(queries, grids)
        if self.start_level == 0:
            outputs.insert(0, self.up(outputs[0]) + fine)
            references.insert(0, _centres(fine.shape[2], fine.shape[3], STRIDES[0], extent, image))
        results = []
        for output, features, reference, norm, stride in zip(
            outputs, maps[self.start_level :], references, self.norms, STRIDES[self.start_level :], strict=True
        ):
            result = norm(output + _sample(features, reference))
            results.append(result.narrow(2, 0, ceil_div(height, stride)).narrow(3, 0, ceil_div(width, stride)))
        # mmcv's compiled RoIAlign reads any other memory layout wrongly (open-mmlab/mmcv#2203).
        return tuple(result.contiguous() for result in results)

    def _check(self, inputs: Sequence[Tensor]) -> tuple[Tensor, Sequence[Tensor]]:
        shapes = [tuple(x.shape) for x in inputs]
        if len(inputs) != 1 + len(STRIDES) or inputs[0].shape[1] != 3:
            raise ValueError(
                f'ViTAdapterNeck got shapes {shapes}, expected an image and four maps: set with_image=True and four '
                'out_indices in DAGAViT'
            )
        image, *maps = inputs
        grid = tuple(ceil_div(side, self.patch_size) for side in image.shape[2:])
        if any(m.shape[1:] != (self.embed_dims, *grid) for m in maps):
            raise ValueError(
                f'maps have shapes {[s[1:] for s in shapes[1:]]}, expected {(self.embed_dims, *grid)} for an image of '
                f'{tuple(image.shape[2:])} pixels, patch_size={self.patch_size} and embed_dims={self.embed_dims}: set '
                'them to those of the backbone'
            )
        return image, maps


class Extractor(nn.Module):
    """Let the queries of a pyramid read one map, and process what they read.

    Args:
        embed_dims: Channels D.
        num_heads: Heads of the deformable attention.
        num_points: Points per head.
        deform_ratio: Channels of the values, as a part of D.
        ffn_ratio: Channels of the feed-forward network, as a part of D.
        drop_path_rate: Stochastic depth of the feed-forward network.
    """

    def __init__(
        self,
        embed_dims: int,
        num_heads: int,
        num_points: int = 4,
        deform_ratio: float = 0.5,
        ffn_ratio: float = 0.25,
        drop_path_rate: float = 0.0,
    ) -> None:
        super().__init__()
        self.query_norm = nn.LayerNorm(embed_dims, eps=1e-6)
        self.feature_norm = nn.LayerNorm(embed_dims, eps=1e-6)
        self.attention = DeformableAttention(embed_dims, num_heads, num_points, deform_ratio)
        hidden = int(embed_dims * ffn_ratio)
        self.ffn_norm = nn.LayerNorm(embed_dims, eps=1e-6)
        self.fc1 = nn.Linear(embed_dims, hidden)
        self.dwconv = nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden)
        self.fc2 = nn.Linear(hidden, embed_dims)
        self.drop_path = DropPath(drop_path_rate)

    def forward(self, queries: Tensor, features: Tensor, points: Tensor, grids: Grids) -> Tensor:
        """Queries (B, N, D) -> queries (B, N, D).

        Args:
            queries: (B, N, D), the levels of the pyramid one after the other.
            features: (B, D, h, w), the map.
            points: (N, 2), the queries' x and y in the map's unit square; beyond it where the image was padded.
            grids: Heights and widths of the levels.
        """
        queries = self.attention(
            self.query_norm(queries),
            value=self.feature_norm(features.flatten(2).transpose(1, 2)),
            identity=queries,
            points=points,
            grid=(features.shape[2], features.shape[3]),
        )
        hidden = self.fc1(self.ffn_norm(queries))
        levels = [self.dwconv(level).flatten(2).transpose(1, 2) for level in _split(hidden, grids)]
        return queries + self.drop_path(self.fc2(F.gelu(torch.cat(levels, dim=1))))


def _init_as_dinov3(part: nn.Module) -> None:
    """Initialise as DINOv3's adapter (dinov3/eval/segmentation/models/backbone/dinov3_adapter.py).

    The attention keeps its own initialisation, which is the same there.
    """
    if isinstance(part, DeformableAttention):
        return
    if isinstance(part, nn.Linear):
        nn.init.trunc_normal_(part.weight, std=0.02)
    elif isinstance(part, nn.Conv2d | nn.ConvTranspose2d):
        fan_out = math.prod(part.kernel_size) * part.out_channels // part.groups
        nn.init.normal_(part.weight, std=math.sqrt(2 / fan_out))
    if isinstance(part, nn.Linear | nn.Conv2d | nn.ConvTranspose2d) and part.bias is not None:
        nn.init.zeros_(part.bias)
    for child in part.children():
        _init_as_dinov3(child)


def _split(tokens: Tensor, grids: Grids) -> list[Tensor]:
    """Tokens (B, N, C) -> a map (B, C, h, w) per level."""
    parts = tokens.transpose(1, 2).split([h * w for h, w in grids], dim=2)
    return [part.unflatten(2, grid) for part, grid in zip(parts, grids, strict=True)]


def _centres(height: int, width: int, stride: int, extent: Sequence[int], like: Tensor) -> Tensor:
    """Pixel centres (h, w, 2) of a level, x and y, in units of the extent (pixels high, wide) of the ViT's maps.

    In float32 or better, since half precision cannot represent every pixel.
    """
    dtype = torch.promote_types(like.dtype, torch.float32)
    y = (torch.arange(height, device=like.device, dtype=dtype) + 0.5) * stride / extent[0]
    x = (torch.arange(width, device=like.device, dtype=dtype) + 0.5) * stride / extent[1]
    return torch.stack([x.expand(height, -1), y[:, None].expand(-1, width)], dim=-1)


def _sample(features: Tensor, centres: Tensor) -> Tensor:
    """A map (B, D, h, w) read bilinearly at centres (h', w', 2) of its unit square -> (B, D, h', w').

    As `grid_sample` with its border as padding. The centres are a grid, so two products with small matrices do it.
    """
    height, width = features.shape[2:]
    with without_autocast(features):  # half precision cannot represent every pixel
        rows, columns = _weights(centres[:, 0, 1], height), _weights(centres[0, :, 0], width)
        read = rows @ (features.to(rows.dtype) @ columns.t())
    return read.to(features.dtype)


def _weights(places: Tensor, size: int) -> Tensor:
    """Weights of ``size`` pixels in the values at positions (n,) of the unit interval: (n, size)."""
    pixels = torch.arange(size, device=places.device, dtype=places.dtype)
    return (1 - ((places * size - 0.5).clamp(0, size - 1)[:, None] - pixels).abs()).relu()
