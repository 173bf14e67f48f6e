"""AdaptFormer (Chen et al., arXiv:2205.13535): a bottleneck beside the MLP of each block."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from torch import Tensor, nn

from ..registry import ADAPTERS
from .adapter import Adapter

if TYPE_CHECKING:
    from ..backbones import Trunk


@ADAPTERS.register_module(name=['adaptformer', 'AdaptFormer'])
class AdaptFormer(Adapter):
    """Add ``scale · up(ReLU(down(LN(x))))`` to what the MLP adds to the tokens; LN is the block's own (equation 3).

    Args:
        trunk: See `Adapter`.
        last: See `Adapter`.
        bottleneck_dim: Channels between ``down`` and ``up``; 64 in the paper.
        scale: Factor on the update; 0.1 in the paper.
        dropout: Probability of dropping bottleneck channels in training; 0.1 in the authors' code.
        layers: Blocks; 'all' is every block that runs.
    """

    name = 'adaptformer'

    def __init__(
        self,
        trunk: Trunk,
        last: int,
        bottleneck_dim: int = 64,
        scale: float = 0.1,
        dropout: float = 0.1,
        layers: Sequence[int] | Literal['all'] = 'all',
    ) -> None:
        super().__init__(trunk, last, layers)
        self.scale = scale
        self.bottlenecks: Any = nn.ModuleDict()
        for layer in self.layers:
            down, up = nn.Linear(trunk.embed_dims, bottleneck_dim), nn.Linear(bottleneck_dim, trunk.embed_dims)
            nn.init.kaiming_uniform_(down.weight, a=5**0.5)
            for zero in (down.bias, up.weight, up.bias):
                nn.init.zeros_(zero)
            self.bottlenecks[str(layer)] = nn.Sequential(down, nn.ReLU(), nn.Dropout(dropout), up)

    def attach(self, trunk: Trunk) -> None:
        for layer in self.layers:
            trunk.site(layer, 'mlp').register_forward_pre_hook(self._keep)
            trunk.site(layer, 'mlp_branch').register_forward_hook(partial(self._add, str(layer)))

    def _keep(self, mlp: nn.Module, args: tuple[Tensor]) -> None:
        if self.context is not None:
            self.context.kept[self.name] = args[0]

    def _add(self, layer: str, branch: nn.Module, args: tuple[Tensor], output: Tensor) -> Tensor | None:
        if self.context is None:
            return None
        x = self.context.kept.pop(self.name)
        update = self.bottlenecks[layer](x.to(self.bottlenecks[layer][0].weight.dtype))
        return output + (self.scale * update).to(output.dtype)

    def is_identity(self) -> bool:
        return not any(bottleneck[-1].weight.any() for bottleneck in self.bottlenecks.values())

    def curves(self) -> dict[str, Tensor]:
        """``norm/BLOCK``: the norm of the block's up-projection."""
        return {f'norm/{layer}': b[-1].weight.float().norm() for layer, b in self.bottlenecks.items()}
