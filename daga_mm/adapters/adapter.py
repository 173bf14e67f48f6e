"""The interface of adapters: methods that adapt the frozen trunk of `DAGAViT`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal

from torch import Tensor, nn

if TYPE_CHECKING:
    from ..backbones import Trunk


@dataclass
class Context:
    """State of the forward pass while one block runs; a new one for each block.

    Attributes:
        grid: Patch grid (h, w).
        num_prefix_tokens: P, tokens in front of the patches.
        attention: In `Adapter.after_block`, what the adapter ``reads``: the class token's attention to the patches,
            stretched to [0, 1] per image: (B, h, w), or (B, heads, h, w).
        kept: Tensors that a hook of this block passes to a later hook of the same block.
    """

    grid: tuple[int, int]
    num_prefix_tokens: int
    attention: Tensor | None = None
    kept: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Guidance:
    """Attention of the untouched trunk instead of the adapted block.

    Attributes:
        layer: The block.
        scale: The image is first resized by this factor in (0, 1].
    """

    layer: int
    scale: float = 1.0


class Adapter(nn.Module):
    """A method that adapts a frozen trunk.

    A subclass works after blocks (`after_block`), inside them (hooks that `attach` registers), or trains the trunk's
    own parameters (`trains`). It is built from the trunk's dimensions and does not keep the trunk.

    Args:
        trunk: The trunk, randomly initialised.
        last: The last block at which the adapter can influence an output.
        layers: Blocks at which it works; negative ones count from the end; 'all' is every block up to ``last``.

    Attributes:
        name: Short name; ``adapters.<name>.`` starts its keys in state dicts.
        layers: Blocks at which it works, in ascending order.
        reads: Attention that it needs after each of its blocks: 'nothing', the 'mean' over heads, or all 'heads'.
        guidance: Source of that attention; None: the adapted block itself.
        patches_only: Whether it changes patches only. Class token and registers then change from the next block on.
        works_inside: Whether it changes blocks (hooks, weights) rather than tokens between them.
        lr_mult: Default factor on the learning rate; ``adapter_lr_mult`` overrides it.
        decay_mult: Factor on the weight decay.
        context: Context of the block that runs; None while no adapted block runs, and then hooks change nothing.

    Raises:
        ValueError: A layer is out of range or beyond ``last``.
    """

    name: ClassVar[str]
    reads: Literal['nothing', 'mean', 'heads'] = 'nothing'
    guidance: Guidance | None = None
    patches_only: ClassVar[bool] = False
    works_inside: ClassVar[bool] = True
    lr_mult: ClassVar[float] = 1.0
    decay_mult: ClassVar[float] = 1.0
    context: Context | None = None

    def __init__(self, trunk: Trunk, last: int, layers: Sequence[int] | Literal['all'] = 'all') -> None:
        super().__init__()
        self.layers = block_indices('layers', range(last + 1) if layers == 'all' else layers, trunk)
        idle = [layer for layer in self.layers if layer > last]
        if idle or not self.layers:
            raise ValueError(
                f'{type(self).__name__} at blocks {idle} of {trunk.arch} cannot influence any output: its last useful '
                f'block is {last}. Remove them from layers, or choose a later out_index'
                + (", or out_type='cls_avg'" if self.patches_only else '')
                if idle
                else f'{type(self).__name__} has no layers; adapter=None is the plain frozen trunk'
            )

    @property
    def first_block(self) -> int:
        """The first block with changed tokens or weights. Earlier blocks are those of the frozen trunk."""
        return self.layers[0] + (not self.works_inside)

    def attach(self, trunk: Trunk) -> None:
        """Register hooks on the modules of the trunk, once. They are bound methods, so that deep copies work."""

    def after_block(self, index: int, tokens: Tensor, context: Context) -> Tensor:
        """Change the tokens (B, N, D) that leave block ``index``, one of ``layers``."""
        return tokens

    def trains(self, name: str) -> bool:
        """Whether the adapter trains the trunk's parameter ``name``, such as 'model.blocks.3.norm1.bias'."""
        return False

    def gate(self, index: int, context: Context) -> Tensor | None:
        """For pictures: the factors on the update after block ``index``, (B, 1 or h·w, D); None without any."""
        return None

    def is_identity(self) -> bool:
        """Whether the adapter is known to be the identity, as after initialisation."""
        return False

    def curves(self) -> dict[str, Tensor]:
        """Scalars to log in training, by name."""
        return {}


def block_indices(name: str, indices: Sequence[int], trunk: Trunk) -> tuple[int, ...]:
    """Block indices in ascending order, negative ones counted from the end.

    Raises:
        ValueError: They are not a sequence of indices, or out of range; the message has the argument's ``name``.
    """
    if isinstance(indices, str) or not all(isinstance(index, int) for index in indices):
        raise ValueError(f'{name} is {indices!r}, expected block indices such as (1, 2, -2, -1)')
    depth = trunk.depth
    outside = [index for index in indices if not -depth <= index < depth]
    if outside:
        raise ValueError(f'{name}: {outside} out of range, {trunk.arch} has blocks 0 to {depth - 1}')
    return tuple(sorted({index % depth for index in indices}))
