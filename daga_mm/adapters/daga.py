"""DAGA, Dynamic Attention-Guided Adaptation: bottlenecks on patch tokens, gated by the model's own attention.

    map ──► attention encoder ──► instruction ──► gate generator ──► gate ─┐
    patches ──► feature transformer (norm, down, GELU, up) ────────────────×── · mixing weight ──► + patches

The published parts (github.com/Jaywalk18/Dino_DAGA) in a form that starts as the identity: only the up-projection is
initialised to zero. With a second zero, in the gate, the encoder would have no gradient in the first steps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..registry import ADAPTERS
from .adapter import Adapter, Context, Guidance, block_indices

if TYPE_CHECKING:
    from ..backbones import Trunk


class AttentionEncoder(nn.Module):
    """Encode a guidance map into an instruction.

    Args:
        instruction_dim: Channels I of the instruction.
        gate: 'channel' pools the encoded map, one instruction per image; 'token' adds the encoded map, unpooled,
            to it, one instruction per patch.
        hidden_dims: Channels of the two convolutions.

    """

    def __init__(
        self,
        instruction_dim: int = 128,
        gate: Literal['channel', 'token'] = 'channel',
        hidden_dims: tuple[int, int] = (32, 64),
    ) -> None:
        super().__init__()
        self.convs = nn.Sequential(
            nn.Conv2d(1, hidden_dims[0], 3, padding=1),
            nn.GELU(),
            nn.Conv2d(hidden_dims[0], hidden_dims[1], 3, padding=1),
            nn.GELU(),
        )
        self.project = nn.Sequential(
            nn.Linear(hidden_dims[1], instruction_dim), nn.GELU(), nn.Linear(instruction_dim, instruction_dim)
        )
        self.unpooled = nn.Conv2d(hidden_dims[1], instruction_dim, 1) if gate == 'token' else None

    def forward(self, guidance: Tensor) -> Tensor:
        """Map (B, h, w) in [0, 1] -> instruction (B, I, 1, 1), or (B, I, h, w) for token gates."""
        first: Any = self.convs[0]
        guidance = guidance.to(first.weight.dtype)  # maps are float32 in a model of half precision, too
        encoded = self.convs(guidance.unsqueeze(1))  # (B, hidden, h, w)
        instruction = self.project(encoded.mean(dim=(2, 3)))[:, :, None, None]  # (B, I, 1, 1)
        return instruction if self.unpooled is None else instruction + self.unpooled(encoded)


class HeadsEncoder(nn.Module):
    """The attention of each head relative to its mean, for `HeadsBottleneck`; without parameters."""

    def forward(self, guidance: Tensor) -> Tensor:
        """Maps (B, heads, h, w) in [0, 1] -> instruction (B, heads, h, w): each map divided by its mean, minus 1."""
        return guidance / (guidance.mean(dim=(2, 3), keepdim=True) + 1e-6) - 1


class GatedBottleneck(nn.Module):
    """Add a gated, mixed-in bottleneck to patch tokens; the identity until it is trained.

    Args:
        embed_dims: Channels D of the tokens.
        instruction_dim: Channels I of the instruction.
        bottleneck_dim: Channels between the two projections.
        mixing_init: Initial value of the learnable mixing weight.
    """

    def __init__(self, embed_dims: int, instruction_dim: int, bottleneck_dim: int, mixing_init: float) -> None:
        super().__init__()
        self.gate_generator = nn.Linear(instruction_dim, embed_dims)
        self.norm = nn.LayerNorm(embed_dims)
        self.down = nn.Linear(embed_dims, bottleneck_dim)
        self.up = nn.Linear(bottleneck_dim, embed_dims)
        self.mixing = nn.Parameter(torch.tensor(float(mixing_init)))
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def gate(self, instruction: Tensor, grid: tuple[int, int]) -> Tensor:
        """Gates in (0, 1): (B, 1, D) from a pooled instruction, (B, h·w, D) from one per patch.

        Args:
            instruction: (B, I, 1, 1) or (B, I, h', w'); another grid than the patches' is resized to it.
            grid: Patch grid (h, w).
        """
        return self._generate(instruction, grid).sigmoid()

    def _generate(self, instruction: Tensor, grid: tuple[int, int]) -> Tensor:
        if instruction.shape[2:] != (1, 1) and instruction.shape[2:] != grid:
            instruction = F.interpolate(instruction, size=grid, mode='bilinear', align_corners=False)
        return self.gate_generator(instruction.flatten(2).transpose(1, 2).to(self.gate_generator.weight.dtype))

    def forward(self, patches: Tensor, instruction: Tensor, grid: tuple[int, int]) -> Tensor:
        """Patches (B, h·w, D) -> adapted patches of the same shape."""
        update = self.up(F.gelu(self.down(self.norm(patches))))  # (B, h·w, D)
        return torch.addcmul(patches, self.mixing * self.gate(instruction, grid), update)


class HeadsBottleneck(GatedBottleneck):
    """A bottleneck whose gate is linear in the patch's attention from each head, I = heads; initially 1/2."""

    def __init__(self, embed_dims: int, instruction_dim: int, bottleneck_dim: int, mixing_init: float) -> None:
        super().__init__(embed_dims, instruction_dim, bottleneck_dim, mixing_init)
        nn.init.zeros_(self.gate_generator.weight)
        nn.init.constant_(self.gate_generator.bias, 0.5)

    def gate(self, instruction: Tensor, grid: tuple[int, int]) -> Tensor:
        """Gates (B, h·w, D), of any size, from the instruction (B, heads, h', w') of `HeadsEncoder`."""
        return self._generate(instruction, grid)


@ADAPTERS.register_module(name=['daga', 'DAGA'])
class DAGA(Adapter):
    """Dynamic Attention-Guided Adaptation of the patch tokens that leave a few blocks.

    Args:
        trunk: See `Adapter`.
        last: See `Adapter`.
        layers: Blocks after which tokens are adapted; 'all' is every block up to ``last``.
        gate: 'channel', one gate per image; 'token', one per patch; 'heads', one per patch, linear in its attention
            from each head, without an encoder. The last is not the published method.
        guidance: 'inline': the class-to-patch attention of each adapted block itself. ``dict(layer=-1, scale=1.0)``, as
            the method was published: that of block ``layer`` in the untouched trunk, on the image resized by ``scale``;
            a second pass through the trunk from the first adapted block on.
        instruction_dim: Channels of the instruction.
        bottleneck_dim: Channels of the bottleneck.
        mixing_init: Initial value of the learnable mixing weight.
        share_encoder: One attention encoder for all layers.

    Raises:
        ValueError: An option is unknown or out of range.
    """

    name = 'daga'
    patches_only = True
    works_inside = False

    def __init__(
        self,
        trunk: Trunk,
        last: int,
        layers: Sequence[int] | Literal['all'] = (1, 2, -2, -1),
        gate: Literal['channel', 'token', 'heads'] = 'channel',
        guidance: Literal['inline'] | Mapping[str, Any] = 'inline',
        instruction_dim: int = 128,
        bottleneck_dim: int = 96,
        mixing_init: float = 0.1,
        share_encoder: bool = False,
    ) -> None:
        super().__init__(trunk, last, layers)
        if gate not in ('channel', 'token', 'heads'):
            raise ValueError(f"gate is {gate!r}, expected 'channel', 'token' or 'heads'")
        self.reads = 'heads' if gate == 'heads' else 'mean'
        self.guidance = _guidance(guidance, trunk)
        bottleneck = HeadsBottleneck if gate == 'heads' else GatedBottleneck
        size = trunk.num_heads if gate == 'heads' else instruction_dim
        self.encoders: Any = nn.ModuleDict(
            {
                layer: HeadsEncoder() if gate == 'heads' else AttentionEncoder(instruction_dim, gate)
                for layer in (['shared'] if share_encoder else map(str, self.layers))
            }
        )
        self.bottlenecks: Any = nn.ModuleDict(
            {str(layer): bottleneck(trunk.embed_dims, size, bottleneck_dim, mixing_init) for layer in self.layers}
        )

    def instruction(self, index: int, attention: Tensor) -> Tensor:
        """Encode the attention at block ``index``: (B, h, w) or (B, heads, h, w) -> (B, I, 1, 1) or (B, I, h, w)."""
        return self.encoders['shared' if 'shared' in self.encoders else str(index)](attention)

    def after_block(self, index: int, tokens: Tensor, context: Context) -> Tensor:
        assert context.attention is not None
        bottleneck = self.bottlenecks[str(index)]
        prefix = context.num_prefix_tokens
        patches = bottleneck(tokens[:, prefix:], self.instruction(index, context.attention), context.grid)
        return torch.cat([tokens[:, :prefix], patches.to(tokens.dtype)], dim=1)

    def gate(self, index: int, context: Context) -> Tensor:
        assert context.attention is not None
        bottleneck = self.bottlenecks[str(index)]
        return bottleneck.gate(self.instruction(index, context.attention), context.grid)

    def is_identity(self) -> bool:
        return not any(bottleneck.up.weight.any() for bottleneck in self.bottlenecks.values())

    def curves(self) -> dict[str, Tensor]:
        """``mixing/BLOCK``: the mixing weight; ``norm/BLOCK``: the norm of the up-projection."""
        curves = {}
        for layer, bottleneck in self.bottlenecks.items():
            curves[f'mixing/{layer}'] = bottleneck.mixing.float()
            curves[f'norm/{layer}'] = bottleneck.up.weight.float().norm()
        return curves


def _guidance(option: str | Mapping[str, Any], trunk: Trunk) -> Guidance | None:
    if option == 'inline':
        return None
    if not isinstance(option, Mapping) or not set(option) <= {'layer', 'scale'}:
        raise ValueError(f"guidance is {option!r}, expected 'inline' or dict(layer=-1, scale=1.0)")
    (layer,) = block_indices('guidance layer', [option.get('layer', -1)], trunk)
    scale = float(option.get('scale', 1.0))
    if not 0 < scale <= 1:
        raise ValueError(f'guidance scale is {scale}, expected more than 0 and at most 1')
    return Guidance(layer, scale)
