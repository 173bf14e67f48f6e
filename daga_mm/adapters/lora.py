"""LoRA, low-rank adaptation (Hu et al., arXiv:2106.09685), of the trunk's linear layers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from ..registry import ADAPTERS
from .adapter import Adapter

if TYPE_CHECKING:
    from ..backbones import Trunk


@ADAPTERS.register_module(name=['lora', 'LoRA'])
class LoRA(Adapter):
    """Add ``alpha / rank · up(down(dropout(x)))`` to the output of linear layers; ``up`` starts at zero.

    Equal to peft's ``LoraConfig(r=rank, lora_alpha=alpha)``.

    Args:
        trunk: See `Adapter`.
        last: See `Adapter`.
        rank: Channels between ``down`` and ``up``.
        alpha: The update's scale is ``alpha / rank``; None: 1.
        targets: Linear layers of a block by name. 'qkv' also means separate q_proj, k_proj and v_proj.
        dropout: Probability of dropping inputs of ``down`` in training.
        layers: Blocks; 'all' is every block that runs.

    Raises:
        ValueError: A block has no such linear layer, or the rank is less than 1.
    """

    name = 'lora'
    decay_mult = 0.0  # as in the paper's and peft's vision recipes: the product of two small matrices needs none

    def __init__(
        self,
        trunk: Trunk,
        last: int,
        rank: int = 8,
        alpha: float | None = None,
        targets: Sequence[str] = ('qkv', 'proj'),
        dropout: float = 0.0,
        layers: Sequence[int] | Literal['all'] = 'all',
    ) -> None:
        super().__init__(trunk, last, layers)
        if rank < 1:
            raise ValueError(f'rank is {rank}, expected a positive integer')
        self.targets = (targets,) if isinstance(targets, str) else tuple(targets)
        self.scale = 1.0 if alpha is None else alpha / rank
        self.merged = False
        self.dropout = nn.Dropout(dropout)
        self.updates: Any = nn.ModuleDict()
        for layer in self.layers:
            self.updates[str(layer)] = updates = nn.ModuleDict()
            for name, linear in self._linears(trunk, layer).items():
                down = nn.Linear(linear.in_features, rank, bias=False)
                up = nn.Linear(rank, linear.out_features, bias=False)
                nn.init.kaiming_uniform_(down.weight, a=math.sqrt(5))
                nn.init.zeros_(up.weight)
                updates[name] = nn.ModuleDict({'down': down, 'up': up})

    def _linears(self, trunk: Trunk, layer: int) -> dict[str, nn.Linear]:
        return {name: linear for target in self.targets for name, linear in trunk.projections(layer, target).items()}

    def attach(self, trunk: Trunk) -> None:
        for layer in self.layers:
            for name, linear in self._linears(trunk, layer).items():
                linear.register_forward_hook(partial(self._add, str(layer), name))

    def _add(self, layer: str, name: str, linear: nn.Module, args: tuple[Tensor], output: Tensor) -> Tensor | None:
        if self.context is None or self.merged:
            return None
        update = self.updates[layer][name]
        x = self.dropout(args[0].to(update['down'].weight.dtype))
        return output + (update['up'](update['down'](x)) * self.scale).to(output.dtype)

    def is_identity(self) -> bool:
        return not any(update['up'].weight.any() for layer in self.updates.values() for update in layer.values())

    def merge(self, trunk: Trunk) -> None:
        """Add the updates to the weights of the trunk, so that inference costs nothing extra.

        Raises:
            RuntimeError: They are already merged.
            ValueError: The weights are not float32 or float64, which would round the updates away.
        """
        if self.merged:
            raise RuntimeError('LoRA is already merged into the trunk')
        self._change_weights(trunk, self.scale)
        self.merged = True

    def unmerge(self, trunk: Trunk) -> None:
        """Subtract the updates from the weights of the trunk again.

        Raises:
            RuntimeError: They are not merged.
        """
        if not self.merged:
            raise RuntimeError('LoRA is not merged into the trunk')
        self._change_weights(trunk, -self.scale)
        self.merged = False

    @torch.no_grad()
    def _change_weights(self, trunk: Trunk, scale: float) -> None:
        linears = [(layer, self._linears(trunk, layer)) for layer in self.layers]
        for _, named in linears:
            for name, linear in named.items():
                if linear.weight.dtype not in (torch.float32, torch.float64):
                    raise ValueError(f'{name} is stored in {linear.weight.dtype}, expected float32 to merge LoRA into')
        for layer, named in linears:
            for name, linear in named.items():
                update = self.updates[str(layer)][name]
                linear.weight += scale * (update['up'].weight @ update['down'].weight)

    def curves(self) -> dict[str, Tensor]:
        """``norm/BLOCK``: the norm of the update of the block's weights."""
        return {
            f'norm/{layer}': torch.stack(
                [(u['up'].weight.float() @ u['down'].weight.float()).norm() * self.scale for u in updates.values()]
            ).norm()
            for layer, updates in self.updates.items()
        }
