"""The formats in which DINOv3 is published, brought to the official names."""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

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


def to_official(state: StateDict) -> StateDict:
    """Official names for transformers' DINOv3ViTModel and DINOv3's training checkpoints; others unchanged."""
    if any(key.endswith('embeddings.register_tokens') for key in state):
        return _from_hugging_face(state)
    if 'backbone.cls_token' in state:  # a training checkpoint, which has the pretraining's heads too
        return {key.removeprefix('backbone.'): state[key] for key in state if key.startswith('backbone.')}
    return state


def _from_hugging_face(state: StateDict) -> dict[str, Tensor]:
    """With the masked key bias that the official code has."""
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
