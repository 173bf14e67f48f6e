"""What the untouched trunk and the adapted one make of the same images, block by block."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..backbones import DAGAViT


@dataclass
class Stream:
    """One way through the blocks. B images, patch grid h×w = ceil(H / patch) × ceil(W / patch).

    Attributes:
        attention: By block, the class token's attention to the patches, (B, heads, h, w): a softmax over all tokens.
        maps: By out_index, the patch tokens after the final norm, (B, D, h, w).
    """

    attention: dict[int, Tensor] = field(default_factory=dict)
    maps: dict[int, Tensor] = field(default_factory=dict)


@dataclass
class Streams:
    """Both ways, and what DAGA did in between; its dicts go by the block that a DAGA stands behind.

    Attributes:
        frozen: The trunk alone.
        adapted: The trunk with DAGA; without any it is the same as ``frozen``.
        num_tokens: N, prefix tokens and patches.
        gates: (B, 1, D), or (B, h·w, D) where each patch has its own; in (0, 1), but for ``gate='heads'``.
        mixing: The mixing weight.
        updates: (B,), the norm of what DAGA adds to the patches, relative to theirs.
    """

    frozen: Stream
    adapted: Stream
    num_tokens: int
    gates: dict[int, Tensor] = field(default_factory=dict)
    mixing: dict[int, float] = field(default_factory=dict)
    updates: dict[int, Tensor] = field(default_factory=dict)


def compare_streams(backbone: DAGAViT, images: Tensor) -> Streams:
    """Run images through the trunk alone and through the whole backbone, and look into both.

    In eval mode and without gradients, whatever the mode of the backbone, which it has again afterwards.

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
            return _compare(backbone, images)
    finally:
        backbone.train(training)


def _compare(backbone: DAGAViT, images: Tensor) -> Streams:
    trunk = backbone.trunk
    bottom, right = (-side % backbone.patch_size for side in images.shape[2:])
    padded = F.pad(images, (0, right, 0, bottom))  # as the backbone does
    grid = (padded.shape[2] // backbone.patch_size, padded.shape[3] // backbone.patch_size)
    prefix = trunk.num_prefix_tokens
    tokens, positions = trunk.embed(padded)
    num_tokens = tokens.shape[1]

    def attention(index: int, entering: Tensor) -> Tensor:
        return trunk.class_attention(index, entering, positions)[..., prefix:].unflatten(-1, grid)

    def feature_map(leaving: Tensor) -> Tensor:
        return trunk.norm(leaving)[:, prefix:].transpose(1, 2).unflatten(2, grid)

    adapted, streams = Stream(), Streams(Stream(), Stream(), num_tokens)
    last: dict[int, Tensor] = {}  # tokens that leave a block, before its DAGA

    def enters(index: int, entering: Tensor) -> None:
        # The guidance may come this way too, before the adapted stream does: the last call is the adapted one's.
        # Not the guidance of a smaller image, nor what it goes on to behind the last output.
        if entering.shape[1] == num_tokens and index <= backbone.out_indices[-1]:
            adapted.attention[index] = attention(index, entering)
            if index - 1 in backbone.out_indices:
                adapted.maps[index - 1] = feature_map(entering)

    def leaves(index: int, leaving: Tensor) -> None:
        if index == backbone.out_indices[-1] and leaving.shape[1] == num_tokens:
            last[index] = leaving
            adapted.maps[index] = feature_map(leaving)

    def adapts(index: int, module: Any, patches: Tensor, instruction: Tensor, result: Tensor) -> None:
        streams.gates[index] = module.gate(instruction, grid)
        streams.mixing[index] = module.mixing.item()
        streams.updates[index] = (result - patches).norm(dim=(1, 2)) / patches.norm(dim=(1, 2))
        if index in last:
            adapted.maps[index] = feature_map(torch.cat([last[index][:, :prefix], result], dim=1))

    with _watched(backbone, enters, leaves, adapts):
        backbone(padded)

    if not backbone.daga_layers:
        streams.frozen = streams.adapted = adapted
        return streams
    for index in range(backbone.out_indices[-1] + 1):
        streams.frozen.attention[index] = attention(index, tokens)
        tokens = trunk.block(index, tokens, positions)
        if index in backbone.out_indices:
            streams.frozen.maps[index] = feature_map(tokens)
    streams.adapted = adapted
    return streams


@contextmanager
def _watched(backbone: DAGAViT, enters: Any, leaves: Any, adapts: Any) -> Iterator[None]:
    """Call the functions with a block's number and what goes in and out, at blocks and at DAGA modules."""
    layers: Any = backbone.adapters['layers']
    handles = []
    for index, block in enumerate(backbone.trunk.model.blocks):
        handles.append(block.register_forward_pre_hook(lambda _, args, index=index: enters(index, args[0])))
        handles.append(block.register_forward_hook(lambda _, args, result, index=index: leaves(index, result)))
    for name, layer in layers.items():
        handles.append(
            layer.register_forward_hook(
                lambda module, args, result, index=int(name): adapts(index, module, *args[:2], result)
            )
        )
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
