"""BitFit (Ben Zaken et al., arXiv:2106.10199): train the biases of the trunk's blocks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from ..registry import ADAPTERS
from .adapter import Adapter

if TYPE_CHECKING:
    from ..backbones import Trunk


@ADAPTERS.register_module(name=['bitfit', 'BitFit'])
class BitFit(Adapter):
    """Train every bias of the blocks, those of their norms included.

    Args:
        trunk: See `Adapter`.
        last: See `Adapter`.
        layers: Blocks; 'all' is every block that runs.
    """

    name = 'bitfit'

    def __init__(self, trunk: Trunk, last: int, layers: Sequence[int] | Literal['all'] = 'all') -> None:
        super().__init__(trunk, last, layers)
        self._prefixes = tuple(f'model.blocks.{layer}.' for layer in self.layers)

    def trains(self, name: str) -> bool:
        return name.startswith(self._prefixes) and name.endswith('bias')
