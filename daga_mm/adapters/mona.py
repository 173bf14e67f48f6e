"""Mona, the multi-cognitive visual adapter (Yin et al., arXiv:2408.08345): convolutional bottlenecks in each block."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..registry import ADAPTERS
from .adapter import Adapter

if TYPE_CHECKING:
    from ..backbones import Trunk

KERNELS = (3, 5, 7)


class ConvBottleneck(nn.Module):
    """``up(GELU(filters(down(scaled norm(x)))))`` on a grid of patches.

    Args:
        embed_dims: Channels D of the tokens.
        bottleneck_dim: Channels C of the filters.
        dropout: Probability of dropping bottleneck channels in training.
    """

    def __init__(self, embed_dims: int, bottleneck_dim: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(embed_dims)
        self.norm_scale = nn.Parameter(torch.full((embed_dims,), 1e-6))
        self.input_scale = nn.Parameter(torch.ones(embed_dims))
        self.down = nn.Linear(embed_dims, bottleneck_dim)
        self.filters = nn.ModuleList(
            nn.Conv2d(bottleneck_dim, bottleneck_dim, size, padding=size // 2, groups=bottleneck_dim)
            for size in KERNELS
        )
        self.aggregate = nn.Conv2d(bottleneck_dim, bottleneck_dim, 1)
        self.dropout = nn.Dropout(dropout)
        self.up = nn.Linear(bottleneck_dim, embed_dims)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, patches: Tensor, grid: tuple[int, int]) -> Tensor:
        """Patches (B, h·w, D) -> what is added to them, of the same shape."""
        x = self.norm(patches) * self.norm_scale + patches * self.input_scale
        x = self.down(x).transpose(1, 2).unflatten(2, grid)  # (B, C, h, w)
        x = x + sum(conv(x) for conv in self.filters) / len(KERNELS)
        x = x + self.aggregate(x)
        return self.up(self.dropout(F.gelu(x)).flatten(2).transpose(1, 2))


@ADAPTERS.register_module(name=['mona', 'Mona'])
class Mona(Adapter):
    """Two convolutional bottlenecks per block, on the patch tokens after attention and after the MLP.

    The authors work on Swin, which has no class token: here class token and registers pass unchanged. Their ``up``
    starts at random; here it starts at zero, so that Mona starts as the identity.

    Args:
        trunk: See `Adapter`.
        last: See `Adapter`.
        bottleneck_dim: Channels of the filters; 64 in the paper.
        dropout: Probability of dropping bottleneck channels in training; 0.1 in the authors' code.
        layers: Blocks; 'all' is every block that runs.
    """

    name = 'mona'
    patches_only = True

    def __init__(
        self,
        trunk: Trunk,
        last: int,
        bottleneck_dim: int = 64,
        dropout: float = 0.1,
        layers: Sequence[int] | Literal['all'] = 'all',
    ) -> None:
        super().__init__(trunk, last, layers)
        sizes = (trunk.embed_dims, bottleneck_dim, dropout)
        self.bottlenecks: Any = nn.ModuleDict(
            {
                str(layer): nn.ModuleDict({'attn': ConvBottleneck(*sizes), 'mlp': ConvBottleneck(*sizes)})
                for layer in self.layers
            }
        )

    def attach(self, trunk: Trunk) -> None:
        for layer in self.layers:
            block = trunk.site(layer, 'block')
            block.register_forward_pre_hook(self._keep)
            trunk.site(layer, 'attn_branch').register_forward_hook(partial(self._after_attention, str(layer)))
            block.register_forward_hook(partial(self._after_mlp, str(layer)))

    def _keep(self, block: nn.Module, args: tuple[Any, ...]) -> None:
        if self.context is not None:
            self.context.kept[self.name] = args[0]

    def _after_attention(self, layer: str, branch: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor | None:
        if self.context is None:
            return None
        tokens = self.context.kept.pop(self.name) + output  # as the block is about to compute it
        return output + self._update(layer, 'attn', tokens)

    def _after_mlp(self, layer: str, block: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor | None:
        return None if self.context is None else output + self._update(layer, 'mlp', output)

    def _update(self, layer: str, place: str, tokens: Tensor) -> Tensor:
        """Tokens (B, N, D) -> what is added to them; zeros for the prefix tokens."""
        assert self.context is not None
        bottleneck: Any = self.bottlenecks[layer][place]
        prefix = self.context.num_prefix_tokens
        patches = tokens[:, prefix:].to(bottleneck.down.weight.dtype)
        return F.pad(bottleneck(patches, self.context.grid).to(tokens.dtype), (0, 0, prefix, 0))

    def is_identity(self) -> bool:
        return not any(part.up.weight.any() for pair in self.bottlenecks.values() for part in pair.values())

    def curves(self) -> dict[str, Tensor]:
        """``norm/BLOCK``: the norm of the block's up-projections."""
        return {
            f'norm/{layer}': torch.stack([part.up.weight.float().norm() for part in pair.values()]).norm()
            for layer, pair in self.bottlenecks.items()
        }
