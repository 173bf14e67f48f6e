"""What deformable attention reads of a map, as one weighted sum of rows of a table.

A point between pixels is a weighted mean of four of them, and a query reads a few points: so each output is a sum of
rows of the values, which `embedding_bag` computes without keeping what every single point reads. The usual formulation,
`grid_sample` and a sum over points, keeps num_points times as many channels as come out, twice.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def sample_deformably(value: Tensor, grid: tuple[int, int], locations: Tensor, weights: Tensor) -> Tensor:
    """Read a map bilinearly at a few points per query and head, and sum up; zeros lie outside.

    The same as ``multi_scale_deformable_attn_pytorch`` of mmcv for one level, but for rounding.

    Args:
        value: (B, h·w, heads, C), the map.
        grid: Its height h and width w.
        locations: (B, N, heads, points, 2), x and y in the map's unit square.
        weights: (B, N, heads, points).

    Returns:
        (B, N, heads·C)
    """
    (batch, size, heads, channels), (height, width) = value.shape, grid
    dtype = value.dtype if value.dtype in (torch.float32, torch.float64) else torch.float32
    pixels = locations.to(dtype) * locations.new_tensor([width, height], dtype=dtype) - 0.5
    corner = pixels.detach().floor()
    columns, share_x = _neighbours(corner[..., 0], pixels[..., 0], width)  # (B, N, heads, points, 2)
    rows, share_y = _neighbours(corner[..., 1], pixels[..., 1], height)
    shares = (weights.to(dtype)[..., None] * share_y)[..., None] * share_x[..., None, :]  # (…, points, 2, 2)
    places = rows[..., None] * width + columns[..., None, :]
    image = size * torch.arange(batch, device=value.device, dtype=torch.int32).view(-1, 1, 1, 1, 1, 1)
    head = torch.arange(heads, device=value.device, dtype=torch.int32).view(-1, 1, 1, 1)
    bags = ((places + image) * heads + head).flatten(0, 2).flatten(1)  # (B·N·heads, points·4), rows of the table
    table = value.to(dtype).reshape(-1, channels)
    sums = F.embedding_bag(bags, table, per_sample_weights=shares.flatten(0, 2).flatten(1), mode='sum')
    return sums.view(batch, -1, heads * channels).to(value.dtype)


def _neighbours(corner: Tensor, pixels: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The two pixels beside a position along one side, and their shares in it: none outside of 0 … count − 1."""
    both = torch.stack([corner, corner + 1], dim=-1)
    upper = pixels - corner
    shares = torch.stack([1 - upper, upper], dim=-1) * ((both >= 0) & (both < count))
    return both.clamp(0, count - 1).int(), shares
