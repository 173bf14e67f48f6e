"""What deformable attention reads of feature maps, as one weighted sum of rows of a table.

A point between pixels is a weighted mean of four of them, and a query reads a few points: so each output is a sum of
rows of the values, which `embedding_bag` computes without keeping what every single point reads. The usual formulation,
`grid_sample` and a sum over points, keeps levels·points times as many channels as come out, twice.

The table consists of one canvas per image and head, on which the maps of all levels lie one below the other, with zeros
in between. The four pixels around a point are the same distances apart on every level, and points outside read zeros.

Exported graphs hold a gather and a product instead, level by level: there an `embedding_bag` becomes a loop over
queries for a fixed number of images.
"""

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

MARGIN = 2  # zeros left of each map and above it; a point outside reads pixels -2 and -1, or size and size + 1
Shapes = Sequence[Sequence[int]]  # height and width of each level


def sample_deformably(value: Tensor, shapes: Shapes, locations: Tensor, weights: Tensor) -> Tensor:
    """Read maps bilinearly at a few points per query, head and level, and sum up; zeros lie outside.

    The same as ``multi_scale_deformable_attn_pytorch`` of mmcv (Zhu et al., Deformable DETR, 2021), but for rounding.
    It computes in float32, or in float64 for such values, and keeps nothing but its inputs for the backward pass.

    Args:
        value: (B, S, heads, C), the pixels of the L maps, one map after the other.
        shapes: L pairs, height and width of each map.
        locations: (B, N, heads, L, points, 2), x and y in the unit square of each map.
        weights: (B, N, heads, L, points).

    Returns:
        (B, N, heads·C), in the type of the values.
    """
    if torch.compiler.is_exporting():
        return _gather(value, shapes, locations, weights)
    return _DeformableSampling.apply(value, shapes, locations, weights)


def _gather(value: Tensor, shapes: Shapes, locations: Tensor, weights: Tensor) -> Tensor:
    """The same with sizes that may be symbols."""
    batch, _, heads, _ = value.shape
    tables = torch.arange(batch * heads, device=value.device).view(batch, 1, heads, 1)
    pixels = value.split([h * w for h, w in shapes], dim=1)
    sums = []
    for (h, w), level, places, share in zip(shapes, pixels, locations.unbind(3), weights.unbind(3), strict=True):
        padded = F.pad(level.transpose(1, 2).unflatten(2, (h, w)), (0, 0, MARGIN, MARGIN, MARGIN, MARGIN))
        height, width = h + 2 * MARGIN, w + 2 * MARGIN
        x, y = places[..., 0] * w - 0.5, places[..., 1] * h - 0.5  # (B, N, heads, points), in pixels
        left, top = x.floor(), y.floor()
        x, y = x - left, y - top
        column, line = left.clamp(-MARGIN, w) + MARGIN, top.clamp(-MARGIN, h) + MARGIN
        first = (tables * height + line.long()) * width + column.long()
        rows = torch.stack([first, first + 1, first + width, first + width + 1], dim=-1).flatten(3)
        shares = torch.stack([(1 - x) * (1 - y), x * (1 - y), (1 - x) * y, x * y], dim=-1) * share[..., None]
        read = F.embedding(rows, padded.flatten(0, 3))  # (B, N, heads, 4·points, C)
        sums.append((shares.flatten(3)[..., None, :] @ read)[..., 0, :])
    return sum(sums[1:], sums[0]).flatten(2)


class _DeformableSampling(torch.autograd.Function):
    """A sum of rows with a fast backward pass: on a CPU, that of `embedding_bag` takes several times as long."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, shapes: Shapes, locations: Tensor, weights: Tensor) -> Tensor:
        ctx.save_for_backward(value, locations, weights)
        ctx.shapes = shapes
        canvases = _draw(value, shapes)
        rows, shares = _points(shapes, locations, weights, canvases)
        bags, shares = rows.flatten(0, 2).flatten(1), shares.flatten(0, 2).flatten(1)
        sums = F.embedding_bag(bags, canvases.flatten(0, 3), per_sample_weights=shares, mode='sum')
        return sums.unflatten(0, rows.shape[:3]).transpose(1, 2).flatten(2).to(value.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, Tensor, Tensor]:
        value, locations, weights = ctx.saved_tensors
        canvases = _draw(value, ctx.shapes)
        with torch.enable_grad():
            places, factors = locations.detach().requires_grad_(), weights.detach().requires_grad_()
            rows, shares = _points(ctx.shapes, places, factors, canvases)
        gradient = gradient.unflatten(2, value.shape[2:]).transpose(1, 2).to(canvases.dtype).flatten(0, 2)  # (bags, C)
        products = _products(rows.flatten(0, 2).flatten(1), canvases.flatten(0, 3), gradient)
        of_locations, of_weights = torch.autograd.grad(shares, [places, factors], products.view_as(shares))
        drawn = _scatter(rows, shares.detach(), gradient, canvases)
        of_value = torch.cat([pixels.flatten(1, 2) for pixels in _maps(drawn, ctx.shapes)], dim=1)
        return of_value.to(value.dtype), None, of_locations, of_weights


def _draw(value: Tensor, shapes: Shapes) -> Tensor:
    """Values -> canvases (B, heads, height, width, C), in float32 or float64."""
    batch, _, heads, channels = value.shape
    height = _tops(shapes)[-1] + 1  # what is right of the last line is on the next
    width = max(w for _, w in shapes) + MARGIN
    dtype = torch.promote_types(value.dtype, torch.float32)
    canvases = value.new_zeros(batch, heads, height, width, channels, dtype=dtype)
    pixels = value.split([h * w for h, w in shapes], dim=1)
    for place, level, shape in zip(_maps(canvases, shapes), pixels, shapes, strict=True):
        place.copy_(level.unflatten(1, shape))
    return canvases


def _maps(canvases: Tensor, shapes: Shapes) -> list[Tensor]:
    """The places of the levels on the canvases: views (B, h, w, heads, C)."""
    return [
        canvases[:, :, top : top + h, MARGIN : MARGIN + w].permute(0, 2, 3, 1, 4)
        for (h, w), top in zip(shapes, _tops(shapes), strict=False)
    ]


def _tops(shapes: Shapes) -> list[int]:
    """The first line of each level on a canvas, and of one more."""
    return list(accumulate((h + MARGIN for h, _ in shapes), initial=MARGIN))


def _points(shapes: Shapes, locations: Tensor, weights: Tensor, canvases: Tensor) -> tuple[Tensor, Tensor]:
    """The four pixels around each point: rows of the table and their shares in the output, (B, heads, N, 4, L·points).

    Left and right above the point, then left and right below it.
    """
    batch, heads, height, width = canvases.shape[:4]
    levels = [(w, h, top) for (h, w), top in zip(shapes, _tops(shapes), strict=False)]
    size, top = canvases.new_tensor(levels).repeat_interleave(locations.shape[4], dim=0).split([2, 1], dim=1)
    places = _by_head(locations.to(canvases.dtype)) * size - 0.5  # (B, heads, N, L·points, 2), in pixels
    corners = places.detach().floor()
    x, y = (places - corners).unbind(-1)
    column, line = torch.minimum(corners.clamp(min=-MARGIN), size).unbind(-1)
    first = ((line + top[:, 0]) * width + column + MARGIN).int()
    first = first.clamp(0, (height - 1) * width - 2)  # NaN may be any number
    first = first + height * width * torch.arange(batch * heads, device=first.device).int().view(batch, heads, 1, 1)
    rows = first[:, :, :, None] + first.new_tensor(_distances(canvases))[:, None]

    weights = _by_head(weights.to(canvases.dtype))
    right = weights * x
    left = weights - right
    left_below, right_below = left * y, right * y
    return rows, torch.stack([left - left_below, right - right_below, left_below, right_below], dim=3)


def _by_head(of_points: Tensor) -> Tensor:
    """(B, N, heads, L, points, …) -> (B, heads, N, L·points, …): the bags that read the same canvas in a row."""
    return of_points.transpose(1, 2).contiguous().flatten(3, 4)


def _distances(canvases: Tensor) -> tuple[int, int, int, int]:
    """How far the four pixels around a point are behind the first of them, in rows of the table."""
    width = canvases.shape[3]
    return 0, 1, width, width + 1


def _products(rows: Tensor, table: Tensor, vectors: Tensor) -> Tensor:
    """Scalar products of each vector (bags, C) with its rows (bags, K) of a table (R, C) -> (bags, K)."""
    products = table.new_empty(rows.shape)
    numbers = 2**19 if table.is_cpu else 2**26  # at once: few enough for a core's cache, or for few launches of kernels
    step = max(1, numbers // (rows.shape[1] * table.shape[1]))
    for some, vector, out in zip(rows.split(step), vectors.split(step), products.split(step), strict=True):
        torch.sum(F.embedding(some, table).mul_(vector[:, None]), dim=-1, out=out)
    return products


def _scatter(rows: Tensor, shares: Tensor, vectors: Tensor, canvases: Tensor) -> Tensor:
    """The transpose of the sum of rows: vectors (bags, C) -> canvases, where each row sums up who read it.

    Points are sorted by their first row, then this is a sum of rows, too; their other rows are at fixed distances.
    """
    first, order = rows[:, :, :, 0].flatten().sort()
    bags = order // rows.shape[-1]
    drawn = torch.zeros_like(canvases)
    table = drawn.flatten(0, 3)
    starts = torch.searchsorted(first, torch.arange(len(table), dtype=first.dtype, device=first.device))
    for distance, share in zip(_distances(canvases), shares.unbind(3), strict=True):
        share = share.flatten().index_select(0, order)
        sums = F.embedding_bag(bags, vectors, starts, per_sample_weights=share, mode='sum')
        table[distance:] += sums[: len(table) - distance]
    return drawn
