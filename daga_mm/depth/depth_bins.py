"""From a head's channels to metres."""

import math
from typing import Literal

import torch
from torch import Tensor, nn


class DepthBins(nn.Module):
    """Depth as the expectation over fixed bins, or by plain regression.

    With bins, each channel votes for one depth (AdaBins, arXiv:2011.14141, with fixed bins, as DINOv3's depth heads
    have it): weights relu(x) + 0.1, divided by their sum. With the 0.1 every bin has a weight at the start, so depth
    starts in the middle of the range.

    Without bins, one channel goes through a sigmoid that spans the range. The range is known, so nothing has to be
    clamped afterwards, and the gradient is largest in the middle of the range, where training starts; a softplus
    has no upper end, and a ReLU no gradient once it is shut.

    Args:
        num_bins: Number of bins N. None: regression.
        min_depth: Least depth in metres, the first bin.
        max_depth: Greatest depth in metres, the last bin.
        spacing: Bins at equal distances ('linear') or at equal ratios ('log').

    Raises:
        ValueError: Fewer than two bins, an empty range, an unknown spacing, or a log range that starts at 0.
    """

    bins: Tensor | None

    def __init__(
        self,
        num_bins: int | None = 256,
        min_depth: float = 1e-3,
        max_depth: float = 10.0,
        spacing: Literal['linear', 'log'] = 'linear',
    ) -> None:
        super().__init__()
        if not 0 <= min_depth < max_depth < math.inf:
            raise ValueError(
                f'min_depth is {min_depth} and max_depth {max_depth}, expected 0 <= min_depth < max_depth, in metres'
            )
        if spacing not in ('linear', 'log'):
            raise ValueError(f"spacing is {spacing!r}, expected 'linear' or 'log'")
        self.min_depth = float(min_depth)
        self.max_depth = float(max_depth)
        self.in_channels = 1 if num_bins is None else num_bins
        bins = None
        if num_bins is not None:
            if num_bins < 2:
                raise ValueError(f'num_bins is {num_bins}, expected 2 or more, or None for regression')
            if spacing == 'linear':
                bins = torch.linspace(min_depth, max_depth, num_bins)
            elif min_depth > 0:
                bins = torch.logspace(math.log10(min_depth), math.log10(max_depth), num_bins)
            else:
                raise ValueError("min_depth is 0, expected more than 0 for spacing='log'")
        self.register_buffer('bins', bins, persistent=False)  # the arguments determine it

    def forward(self, logits: Tensor) -> Tensor:
        """Channels (B, N, H, W), N = 1 without bins -> metres (B, 1, H, W), within the range."""
        logits = logits.float()  # half precision has steps of 8 mm at 10 m, bfloat16 of 6 cm
        if self.bins is None:
            return self.min_depth + (self.max_depth - self.min_depth) * logits.sigmoid()
        weights = logits.relu() + 0.1
        with torch.autocast(logits.device.type, enabled=False):  # it would go back to half precision
            depth = torch.einsum('bnhw,n->bhw', weights, self.bins) / weights.sum(dim=1)
        return depth[:, None].clamp(self.min_depth, self.max_depth)  # rounding may move an expectation out of it
