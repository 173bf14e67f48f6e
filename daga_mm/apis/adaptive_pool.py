"""Adaptive pooling in graphs."""

import torch
from torch import Tensor, nn
from torch.nn.modules.utils import _pair


class AdaptivePool(nn.Module):
    """Adaptive mean pooling as products with two small matrices: right for images of any size once it is traced.

    torch's own is traced with the window of the size that it sees.
    """

    def __init__(self, pool: nn.AdaptiveAvgPool2d) -> None:
        super().__init__()
        self.size = _pair(pool.output_size)

    def forward(self, x: Tensor) -> Tensor:
        """(N, D, H, W) -> (N, D, h, w)."""
        rows, columns = (_shares(side, parts or side, x) for side, parts in zip(x.shape[2:], self.size, strict=True))
        return rows @ x @ columns.t()


def _shares(side: int, parts: int, like: Tensor) -> Tensor:
    """The share of each of ``side`` pixels in the mean of each part: (parts, side)."""
    pixel = torch.arange(side, device=like.device)
    part = torch.arange(parts, device=like.device)[:, None]
    start, end = part * side // parts, ((part + 1) * side + parts - 1) // parts
    return ((pixel >= start) & (pixel < end)).to(like.dtype) / (end - start)
