"""A small stand-in for the official ``dinov3`` package: the same interface and the same keys, written anew.

Tests put it where ``import dinov3.hub.backbones`` looks. It follows the published architecture: class token, then
registers, then patches; rotary positions on patches only; masked key bias; LayerScale; one final norm.
"""

import math
import sys
from types import ModuleType

import torch
from torch import nn
from torch.nn import functional as F

DIM, DEPTH, HEADS, REGISTERS = 48, 4, 3, 4


class MaskedLinear(nn.Linear):
    def __init__(self, dim):
        super().__init__(dim, 3 * dim)
        mask = torch.ones(3 * dim)
        mask[dim : 2 * dim] = 0
        self.register_buffer('bias_mask', mask)

    def forward(self, x):
        return F.linear(x, self.weight, self.bias * self.bias_mask)


class Attention(nn.Module):
    def __init__(self, dim, num_heads):
        super().__init__()
        self.num_heads, self.scale = num_heads, (dim // num_heads) ** -0.5
        self.qkv = MaskedLinear(dim)
        self.proj = nn.Linear(dim, dim)

    def apply_rope(self, q, k, rope):
        sin, cos = rope
        prefix = q.shape[-2] - sin.shape[-2]

        def rotate(x):
            patches = x[..., prefix:, :]
            first, second = patches.chunk(2, dim=-1)
            turned = patches * cos + torch.cat([-second, first], dim=-1) * sin
            return torch.cat([x[..., :prefix, :], turned], dim=-2)

        return rotate(q), rotate(k)

    def forward(self, x, rope):
        q, k, v = (part.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for part in self.qkv(x).chunk(3, dim=-1))
        q, k = self.apply_rope(q, k, rope)
        self.matrix = (q @ k.transpose(-1, -2) * self.scale).softmax(dim=-1)  # kept, for tests to compare with
        return self.proj((self.matrix @ v).transpose(1, 2).flatten(2))


class LayerScale(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.gamma = nn.Parameter(torch.full((dim,), 0.3))

    def forward(self, x):
        return x * self.gamma


class Mlp(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)

    def forward(self, x):
        return self.fc2(F.gelu(self.fc1(x)))


class Block(nn.Module):
    def __init__(self, dim, num_heads):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(dim, eps=1e-5), nn.LayerNorm(dim, eps=1e-5)
        self.attn, self.mlp = Attention(dim, num_heads), Mlp(dim)
        self.ls1, self.ls2 = LayerScale(dim), LayerScale(dim)

    def forward(self, x, rope):
        x = x + self.ls1(self.attn(self.norm1(x), rope))
        return x + self.ls2(self.mlp(self.norm2(x)))


class Rope(nn.Module):
    def __init__(self, head_dim):
        super().__init__()
        periods = 100 ** (torch.arange(head_dim // 4) / (head_dim / 4))
        self.register_buffer('periods', periods.bfloat16().float())

    def forward(self, *, H, W):
        centres = [2 * (torch.arange(n) + 0.5) / n - 1 for n in (H, W)]
        coordinates = torch.stack(torch.meshgrid(*centres, indexing='ij'), dim=-1).flatten(0, 1)  # (HW, 2)
        angles = (2 * math.pi * coordinates[:, :, None] / self.periods).flatten(1).repeat(1, 2)
        return angles.sin(), angles.cos()


class PatchEmbed(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.proj = nn.Conv2d(3, dim, 16, stride=16)


class VisionTransformer(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed_dim, self.patch_size, self.n_storage_tokens = DIM, 16, REGISTERS
        self.patch_embed = PatchEmbed(DIM)
        self.cls_token = nn.Parameter(torch.randn(1, 1, DIM))
        self.storage_tokens = nn.Parameter(torch.randn(1, REGISTERS, DIM))
        self.mask_token = nn.Parameter(torch.zeros(1, DIM))
        self.rope_embed = Rope(DIM // HEADS)
        self.blocks = nn.ModuleList(Block(DIM, HEADS) for _ in range(DEPTH))
        self.norm = nn.LayerNorm(DIM, eps=1e-5)

    def prepare_tokens_with_masks(self, images):
        maps = self.patch_embed.proj(images)
        prefix = [self.cls_token.expand(len(images), -1, -1), self.storage_tokens.expand(len(images), -1, -1)]
        return torch.cat([*prefix, maps.flatten(2).transpose(1, 2)], dim=1), maps.shape[2:]


def install(monkeypatch):
    """Let ``dinov3.hub.backbones`` be this module for the time of a test."""
    backbones = ModuleType('dinov3.hub.backbones')

    def dinov3_vits16(*, pretrained=True, **kwargs):
        assert not pretrained, 'nothing may be downloaded'
        return VisionTransformer(**kwargs)

    backbones.dinov3_vits16 = dinov3_vits16
    for name, module in {
        'dinov3': ModuleType('dinov3'),
        'dinov3.hub': ModuleType('dinov3.hub'),
        'dinov3.hub.backbones': backbones,
    }.items():
        monkeypatch.setitem(sys.modules, name, module)
