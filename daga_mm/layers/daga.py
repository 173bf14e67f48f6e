"""DAGA, Dynamic Attention-Guided Adaptation: a bottleneck on patch tokens, gated by the model's own attention.

    map ──► attention encoder ──► instruction ──► gate generator ──► gate ─┐
    patches ──► feature transformer (norm, down, GELU, up) ────────────────×── · mixing weight ──► + patches

The published parts (github.com/Jaywalk18/Dino_DAGA) in a form that starts as the identity: the only zero in the
chain is the up-projection. A second one, in the gate, would starve the encoder of gradient for the first steps.
"""

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class AttentionEncoder(nn.Module):
    """Encode a guidance map into an instruction.

    Args:
        instruction_dim: Channels I of the instruction.
        gate: 'channel' pools the encoded map, one instruction per image; 'token' adds the encoded map, unpooled,
            to it, one instruction per patch.
        hidden_dims: Channels of the two convolutions.

    Raises:
        ValueError: ``gate`` is neither 'channel' nor 'token'.
    """

    def __init__(
        self,
        instruction_dim: int = 128,
        gate: Literal['channel', 'token'] = 'channel',
        hidden_dims: tuple[int, int] = (32, 64),
    ) -> None:
        super().__init__()
        if gate not in ('channel', 'token'):
            raise ValueError(f"gate is 'channel' (one gate per image) or 'token' (one per patch), not {gate!r}")
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
        guidance = guidance.to(first.weight.dtype)  # maps are float32, a model of half precision is not
        encoded = self.convs(guidance.unsqueeze(1))  # (B, hidden, h, w)
        instruction = self.project(encoded.mean(dim=(2, 3)))[:, :, None, None]  # (B, I, 1, 1)
        return instruction if self.unpooled is None else instruction + self.unpooled(encoded)


class HeadsEncoder(nn.Module):
    """What each head looks at, as it is: nothing is learned between the attention and the gate of `HeadsDAGA`."""

    def forward(self, guidance: Tensor) -> Tensor:
        """Maps (B, heads, h, w) in [0, 1] -> instruction (B, heads, h, w), each map over its mean, less 1."""
        return guidance / (guidance.mean(dim=(2, 3), keepdim=True) + 1e-6) - 1


class DAGA(nn.Module):
    """Adapt patch tokens as the instruction says; the identity until it has been trained.

    Args:
        embed_dims: Channels D of the tokens.
        instruction_dim: Channels I of the instruction.
        bottleneck_dim: Channels between the two projections.
        mixing_init: Start of the learnable mixing weight.
    """

    def __init__(
        self, embed_dims: int, instruction_dim: int = 128, bottleneck_dim: int = 96, mixing_init: float = 0.1
    ) -> None:
        super().__init__()
        self.gate_generator = nn.Linear(instruction_dim, embed_dims)
        self.norm = nn.LayerNorm(embed_dims)
        self.down = nn.Linear(embed_dims, bottleneck_dim)
        self.up = nn.Linear(bottleneck_dim, embed_dims)
        self.mixing = nn.Parameter(torch.full((1,), float(mixing_init)))  # FSDP takes no parameter without an axis
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def _save_to_state_dict(self, destination, prefix, keep_vars):
        """In files the mixing weight is a number without an axis."""
        super()._save_to_state_dict(destination, prefix, keep_vars)
        if self.mixing.numel():  # a process that holds other shards has none of it
            destination[f'{prefix}mixing'] = destination[f'{prefix}mixing'].reshape(())

    def _load_from_state_dict(self, state_dict, prefix, *args):
        key = f'{prefix}mixing'
        if key in state_dict and state_dict[key].numel() == 1:
            state_dict[key] = state_dict[key].reshape(1)
        super()._load_from_state_dict(state_dict, prefix, *args)

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
        return self.gate_generator(instruction.flatten(2).transpose(1, 2))

    def forward(self, patches: Tensor, instruction: Tensor, grid: tuple[int, int]) -> Tensor:
        """Patches (B, h·w, D) -> adapted patches of the same shape."""
        update = self.up(F.gelu(self.down(self.norm(patches))))  # (B, h·w, D)
        return patches + self.mixing * self.gate(instruction, grid) * update


class HeadsDAGA(DAGA):
    """DAGA with a gate that is linear in the patch's attention from each head; 1/2 at first, as a sigmoid's is.

    Not the method's: a form that heeds what the attention shows (docs/evidence.md).

    Args:
        embed_dims: Channels D of the tokens.
        num_heads: Heads of the trunk's attention.
        bottleneck_dim: Channels between the two projections.
        mixing_init: Start of the learnable mixing weight.
    """

    def __init__(self, embed_dims: int, num_heads: int, bottleneck_dim: int = 96, mixing_init: float = 0.1) -> None:
        super().__init__(embed_dims, num_heads, bottleneck_dim, mixing_init)
        nn.init.zeros_(self.gate_generator.weight)
        nn.init.constant_(self.gate_generator.bias, 0.5)

    def gate(self, instruction: Tensor, grid: tuple[int, int]) -> Tensor:
        """Gates (B, h·w, D), of any size.

        Args:
            instruction: (B, heads, h', w'), of `HeadsEncoder`; another grid than the patches' is resized to it.
            grid: Patch grid (h, w).
        """
        return self._generate(instruction.to(self.gate_generator.weight.dtype), grid)
