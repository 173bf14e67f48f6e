"""DAGA with other uses of the guidance, and with guidance that says nothing about the image: the controls."""

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from daga_mm.backbones import DAGAViT
from daga_mm.layers import DAGA, AttentionEncoder
from daga_mm.registry import MODELS

FORMS = {
    'channel': "the method's: one gate per image, of the pooled map",
    'token': 'one gate per patch',
    'none': 'no gate: the bottleneck alone',
    'times': "the map, over its mean, multiplies each patch's update",
    'normed': 'as channel, with a layer norm on the instruction, so that small differences between images grow',
    'heads': 'as token, of the maps of all heads in place of their mean; not what the package calls heads',
    'blocks': 'as token, of the maps of this and all earlier DAGA layers',
    'linear_heads': "the package's gate='heads': one per patch, linear in its attention from each head, 1/2 at first",
    'reference': "the method's with its published start: zero gate weights, batch norms, the norm on the sum",
}
MAPS = {
    'real': "the image's own",
    'shuffled': "another image's",
    'constant': 'the same value everywhere',
}
PER_HEAD = ('heads', 'linear_heads')


@MODELS.register_module()
class GuidanceForm(DAGAViT):
    """DAGAViT with one of `FORMS`, guided by one of `MAPS`.

    Args:
        form: What is made of the maps.
        maps: Whose they are; may be changed at any time.
        **kwargs: DAGAViT's.
    """

    def __init__(
        self, form: str = 'channel', maps: Literal['real', 'shuffled', 'constant'] = 'real', **kwargs: Any
    ) -> None:
        if form not in FORMS or maps not in MAPS:
            raise ValueError(f'form is one of {", ".join(FORMS)}, maps of {", ".join(MAPS)}, not {form!r} and {maps!r}')
        super().__init__(**kwargs)
        self.form, self.maps = form, maps
        self._earlier: list[Tensor] = []
        self._last: dict[int, Tensor] = {}
        heads = self.trunk.model.blocks[0].attn.num_heads
        for place, layer in enumerate(self.daga_layers):
            encoder, daga = self._parts(place, heads, **(kwargs.get('daga_cfg') or {}))
            if encoder is not None:
                self.adapters['encoders'][str(layer)] = encoder
            if daga is not None:
                self.adapters['layers'][str(layer)] = daga

    def _parts(
        self,
        place: int,
        heads: int,
        instruction_dim: int = 128,
        bottleneck_dim: int = 96,
        mixing_init: float = 0.1,
        share_encoder: bool = False,
    ) -> tuple[nn.Module | None, DAGA | None]:
        """Encoder and DAGA of the form, at the layer that is number ``place`` of those with DAGA; None: the usual one.

        Raises:
            ValueError: A shared encoder is asked for, where the form has its own.
        """
        if share_encoder and self.form != 'channel':
            raise ValueError(f'{self.form} has encoders of its own')
        sizes = (self.embed_dims, instruction_dim, bottleneck_dim, mixing_init)
        if self.form in ('token', 'heads', 'blocks'):
            return MapsEncoder(instruction_dim, {'heads': heads, 'blocks': place + 1}.get(self.form, 1)), None
        if self.form in ('none', 'times'):
            return nn.Identity(), MapDAGA(FixedGate(self.embed_dims), *sizes)
        if self.form == 'linear_heads':
            return nn.Identity(), MapDAGA(LinearGate(heads, self.embed_dims), *sizes)
        if self.form == 'normed':
            return NormedEncoder(instruction_dim), None
        if self.form == 'reference':
            return NormedEncoder(instruction_dim, batch_norm=True), ReferenceDAGA(*sizes)
        return None, None

    def _map_at(self, tokens: Tensor, positions: Any, index: int, grid: tuple[int, int]) -> Tensor:
        """Maps (B·M, h, w), M of each image, that `normalize_map` takes for so many images."""
        with torch.no_grad():
            rows = self.trunk.class_attention(index, tokens, positions)
        maps = rows[..., self.trunk.num_prefix_tokens :].unflatten(2, grid)  # (B, heads, h, w)
        if self.form not in PER_HEAD:
            maps = maps.mean(dim=1, keepdim=True)
        if self.form == 'blocks':
            self._earlier = [*(self._earlier if index != self.daga_layers[0] else []), maps]
            maps = torch.cat(self._earlier, dim=1)
        return maps.flatten(0, 1)

    def _adapt(self, index: int, tokens: Tensor, guidance: Tensor, grid: tuple[int, int]) -> Tensor:
        maps = guidance.unflatten(0, (len(tokens), -1))  # (B, M, h, w) in [0, 1]
        if self.maps == 'constant':
            maps = torch.full_like(maps, 0.5)
        elif self.maps == 'shuffled':
            # Everyone's is that of the image before, the first one's that of the last of the batch before.
            last = self._last.get(index, maps)
            self._last[index] = maps[-1:]
            maps = torch.cat([last[-1:] if last.shape[1:] == maps.shape[1:] else maps[-1:], maps[:-1]])
        if self.form in ('times', 'linear_heads'):
            maps = maps / (maps.mean((2, 3), keepdim=True) + 1e-6)
        elif self.form == 'none':
            maps = torch.ones_like(maps)
        # These encoders take one map of each image, without an axis for it.
        one = self.form in ('channel', 'normed', 'reference')
        return super()._adapt(index, tokens, maps[:, 0] if one else maps, grid)


class MapsEncoder(AttentionEncoder):
    """Encode several maps, with an instruction per patch: (B, M, h, w) -> (B, I, h, w)."""

    def __init__(self, instruction_dim: int, num_maps: int) -> None:
        super().__init__(instruction_dim, 'token')
        self.convs[0] = nn.Conv2d(num_maps, self.convs[0].out_channels, 3, padding=1)

    def forward(self, guidance: Tensor) -> Tensor:
        encoded = self.convs(guidance)
        return self.unpooled(encoded) + self.project(encoded.mean(dim=(2, 3)))[:, :, None, None]


class NormedEncoder(AttentionEncoder):
    """Encode one map, pooled, with a norm on the instruction and, if asked, batch norms behind the convolutions."""

    def __init__(self, instruction_dim: int, batch_norm: bool = False) -> None:
        super().__init__(instruction_dim)
        self.project.append(nn.LayerNorm(instruction_dim))
        if batch_norm:
            for place in (3, 1):  # behind the second convolution, then behind the first
                self.convs.insert(place, nn.BatchNorm2d(self.convs[place - 1].out_channels))


class FixedGate(nn.Module):
    """Maps over their means (B, 1, h, w) -> gates (B, h·w, D), 1/2 on average, as a sigmoid starts."""

    def __init__(self, embed_dims: int) -> None:
        super().__init__()
        self.embed_dims = embed_dims

    def forward(self, maps: Tensor) -> Tensor:
        return 0.5 * maps.flatten(2).transpose(1, 2).expand(-1, -1, self.embed_dims)


class LinearGate(nn.Linear):
    """Maps over their means (B, M, h, w) -> gates (B, h·w, D), 1/2 at the start."""

    def __init__(self, num_maps: int, embed_dims: int) -> None:
        super().__init__(num_maps, embed_dims)
        nn.init.zeros_(self.weight)
        nn.init.constant_(self.bias, 0.5)

    def forward(self, maps: Tensor) -> Tensor:
        return super().forward(maps.flatten(2).transpose(1, 2) - 1)


class MapDAGA(DAGA):
    """DAGA whose gate is made of the maps themselves, without an encoder.

    Args:
        gate_generator: Of the gate, from maps (B, M, h, w).
        *sizes: DAGA's arguments.
    """

    def __init__(self, gate_generator: nn.Module, *sizes: Any) -> None:
        super().__init__(*sizes)
        self.gate_generator = gate_generator

    def gate(self, instruction: Tensor, grid: tuple[int, int]) -> Tensor:
        if instruction.shape[2:] != grid:
            instruction = F.interpolate(instruction, size=grid, mode='bilinear', align_corners=False)
        return self.gate_generator(instruction)


class ReferenceDAGA(DAGA):
    """The update as it was published: the norm is on the sum, so that it is not the identity at the start."""

    def __init__(self, *sizes: Any) -> None:
        super().__init__(*sizes)
        nn.init.xavier_uniform_(self.down.weight, gain=0.02)
        nn.init.zeros_(self.gate_generator.weight)
        nn.init.zeros_(self.gate_generator.bias)

    def forward(self, patches: Tensor, instruction: Tensor, grid: tuple[int, int]) -> Tensor:
        transformed = self.norm(patches + 0.1 * self.up(F.gelu(self.down(patches))))
        return patches + self.mixing * self.gate(instruction, grid) * (transformed - patches)
