"""Losses on logarithms of depth. All take metres and truth (B, 1, H, W); truth of 0 is no reading."""

import torch
from torch import Tensor, nn

from ..registry import MODELS


@MODELS.register_module()
class SigLogLoss(nn.Module):
    """sqrt(var(g) + 0.15 mean(g)²), g = log prediction − log truth, over all readings of the batch together.

    After dinov3/eval/depth/loss.py: the variance is the unbiased one (divided by n − 1), logarithms are of depth + eps,
    and the first iterations leave out the variance, so that the scale is learned first. A batch with fewer than two
    readings has no variance and a loss of 0.

    Args:
        loss_weight: Factor on the loss.
        warm_up_iters: Iterations without the variance; the count is saved with the model. 0: none.
        eps: Metres, keeps the logarithms small.
        loss_name: Its name in the log.
    """

    iterations: Tensor

    def __init__(
        self,
        loss_weight: float = 1.0,
        warm_up_iters: int = 100,
        eps: float = 1e-3,
        loss_name: str = 'loss_siglog',
    ) -> None:
        super().__init__()
        self.loss_weight = loss_weight
        self.warm_up_iters = warm_up_iters
        self.eps = eps
        self.loss_name = loss_name
        self.register_buffer('iterations', torch.zeros((), dtype=torch.long))

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        """Metres and truth (B, 1, H, W) -> a scalar."""
        warming_up = bool(self.iterations < self.warm_up_iters)
        if self.training and warming_up:
            self.iterations += 1
        known = target > 0
        g = torch.log(pred[known].float() + self.eps) - torch.log(target[known].float() + self.eps)  # (n,)
        if g.numel() < 2:
            return pred.sum() * 0  # with a gradient, which DDP needs
        square = 0.15 * g.mean().square()
        if not warming_up:
            square = square + g.var(correction=1)
        # The gradient of the root at 0 is infinite; clamped, it is 0.
        return self.loss_weight * square.clamp(min=1e-12).sqrt()


@MODELS.register_module()
class DepthGradientLoss(nn.Module):
    """Variation of the log difference between neighbours at several scales, for sharp and well placed edges.

    At each scale k the difference g = log prediction − log truth is read at every 2^k-th pixel, and |∂x g| + |∂y g|,
    summed over the neighbours that both have a reading, is divided by the number of readings; the scales are added.
    After MegaDepth (arXiv:1804.00607) and MiDaS (arXiv:1907.01341). Meta's depth recipes have a variant that uses every
    1st, 2nd, 4th and 6th pixel and compares pixels two apart.

    Args:
        loss_weight: Factor on the loss; 0.5 beside SigLogLoss in DINOv2's depth heads.
        num_scales: Number of scales.
        eps: Metres, keeps the logarithms small.
        loss_name: Its name in the log.
    """

    def __init__(
        self, loss_weight: float = 1.0, num_scales: int = 4, eps: float = 1e-3, loss_name: str = 'loss_gradient'
    ) -> None:
        super().__init__()
        self.loss_weight = loss_weight
        self.num_scales = num_scales
        self.eps = eps
        self.loss_name = loss_name

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        """Metres and truth (B, 1, H, W) -> a scalar."""
        all_known = target > 0
        difference = torch.log(pred.float() + self.eps) - torch.log(target.float() + self.eps)
        loss = pred.new_zeros(())
        for scale in range(self.num_scales):
            g, known = (x[..., :: 2**scale, :: 2**scale] for x in (difference, all_known))
            across = (g[..., 1:] - g[..., :-1]).abs() * (known[..., 1:] & known[..., :-1])
            down = (g[..., 1:, :] - g[..., :-1, :]).abs() * (known[..., 1:, :] & known[..., :-1, :])
            loss = loss + (across.sum() + down.sum()) / known.sum().clamp(min=1)
        return self.loss_weight * loss
