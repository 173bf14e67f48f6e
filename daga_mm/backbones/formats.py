"""Renaming: from the formats that DINOv3 is published in to the names of the trunk that is to be filled."""

import math
import re
from collections.abc import Mapping

import torch
from timm.models import eva, vision_transformer
from timm.models.eva import Eva
from torch import Tensor

from .trunk import DINOv2Trunk, TimmTrunk

StateDict = Mapping[str, Tensor]

# Hugging Face transformers (modeling_dinov3_vit.py) -> official names. q, k and v are handled apart.
_HUGGING_FACE = (
    (r'^model\.', ''),
    (r'^embeddings\.register_tokens', 'storage_tokens'),
    (r'^embeddings\.patch_embeddings\.', 'patch_embed.proj.'),
    (r'^embeddings\.', ''),
    (r'^layer\.', 'blocks.'),
    (r'\.layer_scale(\d)\.lambda1', r'.ls\1.gamma'),
    (r'\.attention\.o_proj\.', '.attn.proj.'),
    (r'\.attention\.', '.attn.'),
)
_HUGGING_FACE_MLP = ((r'\.mlp\.up_proj\.', '.mlp.fc1.'), (r'\.mlp\.down_proj\.', '.mlp.fc2.'))
_HUGGING_FACE_GATED_MLP = (
    (r'\.mlp\.gate_proj\.', '.mlp.w1.'),
    (r'\.mlp\.up_proj\.', '.mlp.w2.'),
    (r'\.mlp\.down_proj\.', '.mlp.w3.'),
)


def is_hugging_face(state: StateDict) -> bool:
    """Whether these are the names of transformers' DINOv3ViTModel."""
    return any(key.endswith('embeddings.register_tokens') for key in state)


def official_from_hugging_face(state: StateDict) -> dict[str, Tensor]:
    """transformers' names -> official ones, with the masked key bias that the official code has."""
    gated = any('.mlp.gate_proj.' in key for key in state)
    renames = _HUGGING_FACE + (_HUGGING_FACE_GATED_MLP if gated else _HUGGING_FACE_MLP)
    official: dict[str, Tensor] = {}
    for old, value in state.items():
        new = old
        for pattern, replacement in renames:
            new = re.sub(pattern, replacement, new)
        official[new] = value
    if 'mask_token' in official:
        official['mask_token'] = official['mask_token'].flatten(0, -2)  # (1, 1, D) there, (1, D) here
    for key in [key for key in official if key.endswith('.attn.q_proj.weight')]:
        attn = key.removesuffix('q_proj.weight')
        parts = [official.pop(f'{attn}{part}_proj.weight') for part in 'qkv']
        official[f'{attn}qkv.weight'] = torch.cat(parts)
        if f'{attn}q_proj.bias' in official:
            query, value = official.pop(f'{attn}q_proj.bias'), official.pop(f'{attn}v_proj.bias')
            key_bias = official.pop(f'{attn}k_proj.bias', torch.zeros_like(query))
            official[f'{attn}qkv.bias'] = torch.cat([query, key_bias, value])
            official[f'{attn}qkv.bias_mask'] = torch.cat(
                [torch.ones_like(query), (key_bias != 0).to(query), torch.ones_like(value)]
            )
    return official


def for_timm(trunk: TimmTrunk, state: StateDict, origin: str) -> dict[str, Tensor]:
    """Any format that timm converts -> the names of timm's model, losing nothing that a feature depends on.

    Raises:
        ValueError: Another patch size; another grid of DINOv2's positions; biases that timm's model has no place for
            and that are not zero.
    """
    model = trunk.model
    official = 'storage_tokens' in state
    patch_embed = state.get('patch_embed.proj.weight')
    if patch_embed is not None and patch_embed.ndim == 4 and patch_embed.shape[-1] != trunk.patch_size:
        # timm would resample the kernel without a word.
        raise ValueError(
            f'{origin} has patches of {patch_embed.shape[-1]} pixels, the trunk {trunk.arch} of {trunk.patch_size}'
        )
    if isinstance(trunk, DINOv2Trunk) and 'pos_embed' in state:
        _refuse_other_grid(trunk, state['pos_embed'], origin)
    if official:
        _refuse_lost_biases(trunk, state, origin)
    module = eva if isinstance(model, Eva) else vision_transformer
    converted = module.checkpoint_filter_fn(dict(state), model)
    for key, value in model.state_dict().items():
        if key in converted:
            continue
        if key == 'rope.periods':  # timm's converter drops them, and a timm file has none: then ours are right
            converted[key] = state.get('rope_embed.periods', state.get(key, value)).float()
        elif not official and key.endswith(('.q_bias', '.v_bias')):
            # timm publishes DINOv3 without qkv biases where they are all zero.
            converted[key] = torch.zeros_like(value)
    return converted


def _refuse_other_grid(trunk: TimmTrunk, positions: Tensor, origin: str) -> None:
    """timm would resample DINOv2's positions while loading, and with antialiasing; the official code refuses them."""
    side = math.isqrt(positions.shape[1])  # with or without the class token
    rows, columns = trunk.model.patch_embed.grid_size
    if (side, side) != (rows, columns):
        raise ValueError(
            f'{origin} has positions for {side}×{side} patches, the trunk {trunk.arch} for {rows}×{columns}: give arch '
            f'img_size={side * trunk.patch_size}; images of any size are taken, positions are resampled to each'
        )


def _refuse_lost_biases(trunk: TimmTrunk, state: StateDict, origin: str) -> None:
    """timm keeps no key biases, and some of its variants no qkv biases: only zeros may be dropped."""
    kept = any(key.endswith('.q_bias') for key in trunk.model.state_dict())
    for key, bias in state.items():
        if not key.endswith('attn.qkv.bias'):
            continue
        query, keys, value = (bias * state.get(f'{key}_mask', torch.ones_like(bias))).chunk(3)
        if keys.count_nonzero():
            raise ValueError(
                f"{origin} has key biases that are not zero ({key}), which timm's DINOv3 has no place for: "
                "load it with source='dinov3'"
            )
        if not kept and (query.count_nonzero() or value.count_nonzero()):
            raise ValueError(
                f'{origin} has qkv biases that are not zero ({key}), and {trunk.arch} has no place for them: take '
                "timm's variant whose name ends in _qkvb, or one of daga_mm's names (dinov3_vitb16, …)"
            )
