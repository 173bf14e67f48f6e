"""What the untouched trunk and the adapted one make of the same images, block by block."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..adapters import Context
from ..backbones import DAGAViT
from ..backbones.adapted_vit import Record
from ..layers import normalize_map


@dataclass
class Stream:
    """One pass through the blocks. B images, patch grid h×w = ceil(H / patch) × ceil(W / patch).

    Attributes:
        attention: By block, the class token's attention to the patches, (B, heads, h, w): a softmax over all tokens.
        maps: By out_index, the patch tokens after the final norm, (B, D, h, w).
    """

    attention: dict[int, Tensor] = field(default_factory=dict)
    maps: dict[int, Tensor] = field(default_factory=dict)


@dataclass
class Streams:
    """Both passes, and what adapters did after blocks, by block.

    Attributes:
        frozen: The trunk alone.
        adapted: The trunk with its adapters; without any it is the same as ``frozen``.
        num_tokens: N, prefix tokens and patches.
        gates: (B, 1, D), or (B, h·w, D) where each patch has its own, of the adapter that has gates.
        mixing: Its mixing weights.
        updates: (B,), the norm of what is added to the patches after the block, relative to theirs.
    """

    frozen: Stream
    adapted: Stream
    num_tokens: int
    gates: dict[int, Tensor] = field(default_factory=dict)
    mixing: dict[int, float] = field(default_factory=dict)
    updates: dict[int, Tensor] = field(default_factory=dict)


def compare_streams(backbone: DAGAViT, images: Tensor) -> Streams:
    """Run images through the trunk alone and through the whole backbone.

    In eval mode and without gradients, whatever the mode of the backbone, which it has again afterwards. Where an
    adapter trains the trunk's own parameters, the trunk alone is as trained.

    Args:
        backbone: With weights in it.
        images: (B, 3, H, W), normalised as for the backbone.

    Raises:
        RuntimeError: The backbone has no weights yet.
    """
    training = backbone.training
    backbone.eval()
    try:
        with torch.no_grad():
            with backbone.without_adapters(), backbone.recorded() as record:
                backbone(images)
            height, width = (-(-side // backbone.patch_size) for side in images.shape[2:])
            grid = (height, width)
            frozen = _stream(backbone, record, grid)
            streams = Streams(frozen, frozen, next(iter(record.after.values())).shape[1])
            if backbone.adapters:
                with backbone.recorded() as record:
                    backbone(images)
                streams.adapted = _stream(backbone, record, grid)
                _look_at_adapters(backbone, streams, record, grid)
            return streams
    finally:
        backbone.train(training)


def _stream(backbone: DAGAViT, record: Record, grid: tuple[int, int]) -> Stream:
    trunk, prefix = backbone.trunk, backbone.trunk.num_prefix_tokens
    return Stream(
        attention={index: row[..., prefix:].unflatten(-1, grid) for index, row in record.attention.items()},
        maps={
            index: trunk.norm(record.after[index])[:, prefix:].transpose(1, 2).unflatten(2, grid)
            for index in backbone.out_indices
        },
    )


def _look_at_adapters(backbone: DAGAViT, streams: Streams, record: Record, grid: tuple[int, int]) -> None:
    prefix = backbone.trunk.num_prefix_tokens
    for adapter in backbone.adapters.values():
        if adapter.works_inside:
            continue
        curves = adapter.curves()
        for index in adapter.layers:
            before, after = record.before[index][:, prefix:], record.after[index][:, prefix:]
            streams.updates[index] = (after - before).norm(dim=(1, 2)) / before.norm(dim=(1, 2))
            attention = streams.adapted.attention.get(index)
            if adapter.guidance:
                attention = streams.frozen.attention.get(adapter.guidance.layer)
            if attention is None:
                continue
            read = normalize_map(attention if adapter.reads == 'heads' else attention.mean(dim=1))
            gate = adapter.gate(index, Context(grid, prefix, read))
            if gate is not None:
                streams.gates[index] = gate
                streams.mixing[index] = float(curves[f'mixing/{index}'])
