"""Trunks of the official DINOv3 package (github.com/facebookresearch/dinov3)."""

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..registry import TRUNKS
from .dinov3_formats import to_official
from .trunk import Trunk


@TRUNKS.register_module(name='dinov3')
class DINOv3Trunk(Trunk):
    """A trunk built by an installed ``dinov3`` package.

    Args:
        arch: A function of ``dinov3.hub.backbones``: 'dinov3_vits16' … 'dinov3_vit7b16'.
        **kwargs: Further arguments of that function.

    Raises:
        ImportError: The package cannot be imported.
        ValueError: It has no such backbone.
    """

    has_class_token = True

    def __init__(self, arch: str, **kwargs: Any) -> None:
        super().__init__()
        try:
            backbones = importlib.import_module('dinov3.hub.backbones')
        except ImportError as error:
            raise ImportError(
                f"source='dinov3' needs the official package, which cannot be imported ({error}). Clone "
                "github.com/facebookresearch/dinov3 and put it on PYTHONPATH, or use source='timm'."
            ) from error
        if not hasattr(backbones, arch):
            known = [name for name in dir(backbones) if name.startswith('dinov3_vit')]
            raise ValueError(f'the dinov3 package has no backbone {arch!r}; it has {", ".join(known)}')
        self.arch = arch
        self.model = model = getattr(backbones, arch)(pretrained=False, **kwargs)
        self.embed_dims = model.embed_dim
        self.patch_size = model.patch_size
        self.depth = len(model.blocks)
        self.num_prefix_tokens = 1 + model.n_storage_tokens
        self.num_heads = model.blocks[0].attn.num_heads

    def embed(self, images: Tensor) -> tuple[Tensor, Any]:
        tokens, (h, w) = self.model.prepare_tokens_with_masks(images)
        return tokens, self.model.rope_embed(H=h, W=w)

    def block(self, index: int, tokens: Tensor, positions: Any) -> Tensor:
        return self.model.blocks[index](tokens, positions)

    def norm(self, tokens: Tensor) -> Tensor:
        if not getattr(self.model, 'untie_cls_and_patch_norms', False):
            return self.model.norm(tokens)
        p = self.num_prefix_tokens
        return torch.cat([self.model.cls_norm(tokens[:, :p]), self.model.norm(tokens[:, p:])], dim=1)

    def _query_key_modules(self, index: int) -> Sequence[nn.Module]:
        return [self.model.blocks[index].attn.qkv]

    def _query_and_keys(self, index: int, taken: list[Tensor], positions: Any) -> tuple[Tensor, Tensor, float]:
        (projected,) = taken  # (B, N, 3D)
        attn = self.model.blocks[index].attn
        query, key, _ = (part.unflatten(-1, (attn.num_heads, -1)).transpose(1, 2) for part in projected.chunk(3, -1))
        _, key = attn.apply_rope(key, key, positions)
        return query[:, :, :1], key, attn.scale

    def _roles(self, block: Any) -> dict[str, nn.Module]:
        return {'attn_branch': block.ls1, 'mlp_branch': block.ls2}  # without LayerScale these are identities

    def unused_parameters(self) -> tuple[str, ...]:
        return ('model.mask_token', 'model.local_cls_norm.')

    def positional(self) -> nn.Module | None:
        return self.model.rope_embed

    def convert(self, state: Mapping[str, Tensor], origin: str) -> dict[str, Tensor]:
        """Official and Hugging Face DINOv3."""
        if 'reg_token' in state:
            raise ValueError(f"{origin} has timm's names, and this trunk is of the official package: use source='timm'")
        state = dict(to_official(state))
        if 'rope_embed.periods' not in state and 'storage_tokens' in state:
            state['rope_embed.periods'] = self.model.rope_embed.periods.bfloat16().float()
        return state
