"""The plain algorithm that DAGA was published with, to compare with: two complete passes, a whole attention matrix."""

from typing import Any

import torch
from torch import Tensor

from daga_mm.backbones import DAGAViT
from daga_mm.layers import normalize_map


class TwoPassDAGAViT(DAGAViT):
    """`DAGAViT` with guidance from a second pass of its own: the same outputs, but for rounding.

    The first pass runs every block of the untouched trunk, and in the guidance block forms the N×N matrix of which it
    reads one row, as the published code does. The second pass starts again at the image. What frozen weights save, no
    gradients of their own and no graph before the first DAGA, is left to both algorithms.

    Takes what DAGAViT takes; guidance is the frozen trunk's at full resolution, of a trunk of timm's.
    """

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Images (B, 3, H, W) -> a tuple with one map (B, D, h, w) per out_index."""
        padded = self._pad(images)
        grid = self._grid(padded)
        guidance = normalize_map(self._map_of_whole_matrix(padded).unflatten(1, grid))
        tokens, positions = self.trunk.embed(padded)
        outputs = []
        for index in range(self.out_indices[-1] + 1):
            tokens = self._run(self.trunk.block, index, tokens, positions)
            if index in self.daga_layers:
                tokens = self._run(self._adapt, index, tokens, guidance, grid)
            if index in self.out_indices:
                outputs.append(self._output(self.trunk.norm(tokens), grid))
        return tuple(outputs)

    @torch.no_grad()
    def _map_of_whole_matrix(self, padded: Tensor) -> Tensor:
        """The class token's attention to the patches, (B, h·w), where timm has it as a part of the whole matrix."""
        attention: Any = self.trunk.model.blocks[self.guidance_layer].attn
        caught: dict[str, Tensor] = {}
        hook = attention.attn_drop.register_forward_pre_hook(lambda _, args: caught.update(matrix=args[0]))
        fused, attention.fused_attn = attention.fused_attn, False
        try:
            tokens, positions = self.trunk.embed(padded)
            for index in range(self.num_layers):
                tokens = self.trunk.block(index, tokens, positions)
        finally:
            hook.remove()
            attention.fused_attn = fused
        return caught['matrix'].mean(dim=1)[:, 0, self.trunk.num_prefix_tokens :]  # (B, heads, N, N) -> (B, h·w)
