"""Guidance: the attention of the class token.

Only the class token's row of the attention matrix is computed, so time and memory grow linearly with the
number of patches: no N×N matrix is ever formed.
"""

import torch
from torch import Tensor

from .precision import without_autocast


def class_attention(query: Tensor, key: Tensor, scale: float) -> Tensor:
    """Attention of one query token over all tokens.

    Args:
        query: (B, heads, 1, d), the class token's query; (B, heads, N, d) where it depends on the token that it meets.
        key: (B, heads, N, d), every token's key, rotary positions included where the model has them.
        scale: The factor on the dot products, usually ``d ** -0.5``.

    Returns:
        (B, heads, N), each row a softmax over all N tokens, in float32, the products too: rows span as little as
        0.01, which half precision would turn into a handful of steps. Under autocast, queries and keys are what its
        projections make them.
    """
    wide = torch.promote_types(query.dtype, torch.float32)
    with without_autocast(query):  # it would round what it multiplies, and the products
        logits = torch.linalg.vecdot(query.to(wide), key.to(wide))  # (B, heads, N)
    return (logits.float() * scale).softmax(dim=-1)


def normalize_map(attention: Tensor) -> Tensor:
    """Stretch each map to [0, 1].

    ``(a − min) / (max − min)`` without an epsilon, since the whole range of a row may be smaller than one.

    Args:
        attention: (B, h, w), or (B, heads, h, w).

    Returns:
        The same shape, in [0, 1]; all zeros where a map is constant.
    """
    flat = attention.flatten(-2)
    low, high = flat.aminmax(dim=-1, keepdim=True)
    span = high - low
    return ((flat - low) / span.masked_fill(span == 0, 1)).view_as(attention)
