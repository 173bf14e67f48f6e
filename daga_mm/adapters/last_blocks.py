"""Partial fine-tuning: train the last blocks of the trunk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..registry import ADAPTERS
from .adapter import Adapter

if TYPE_CHECKING:
    from ..backbones import Trunk


@ADAPTERS.register_module(name=['last_blocks', 'LastBlocks'])
class LastBlocks(Adapter):
    """Train all parameters of the last blocks that run.

    The final norm stays frozen, since the maps of earlier blocks pass through it too.

    Args:
        trunk: See `Adapter`.
        last: See `Adapter`.
        count: Number of blocks.

    Raises:
        ValueError: There are fewer blocks.
    """

    name = 'last_blocks'
    lr_mult = 0.1  # pretrained weights: a tenth of the rate of what starts from nothing

    def __init__(self, trunk: Trunk, last: int, count: int = 2) -> None:
        if not 1 <= count <= last + 1:
            raise ValueError(f'count is {count}, expected 1 to {last + 1}, the blocks that run')
        super().__init__(trunk, last, range(last + 1 - count, last + 1))
        self._prefixes = tuple(f'model.blocks.{layer}.' for layer in self.layers)

    def trains(self, name: str) -> bool:
        return name.startswith(self._prefixes)
