"""Linear probes with many learning rates at once; the protocol of DINOv3 (dinov3/eval/linear.py)."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .checks import require_features, split_off_validation
from .progress import Progress

DINOV3_LRS = (1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 1e-1)


class LinearProbes(nn.Module):
    """Linear classifiers of the same features, one for each learning rate, as one batched product.

    A step of SGD is linear in the gradient, with momentum too. So the loss of each probe is weighed with the probe's
    learning rate, and one optimiser with one rate trains them all: a probe's rate is ``lrs[i]`` times the optimiser's.
    That holds for SGD without weight decay or clipped gradients, and for no other optimiser.

    Args:
        in_channels: D.
        num_classes: C.
        lrs: The learning rates, L of them.
        generator: Draws the weights, N(0, 0.01); biases are zero.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        lrs: Sequence[float] = DINOV3_LRS,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if not lrs or min(lrs) <= 0:
            raise ValueError(f'lrs are learning rates larger than 0, at least one, not {tuple(lrs)}')
        self.lrs = tuple(float(lr) for lr in lrs)
        weights = torch.empty(len(self.lrs), in_channels, num_classes).normal_(std=0.01, generator=generator)
        self.weight = nn.Parameter(weights)  # (L, D, C)
        self.bias = nn.Parameter(torch.zeros(len(self.lrs), 1, num_classes))

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, D) -> logits (L, B, C)."""
        return torch.baddbmm(self.bias, features.expand(len(self.lrs), -1, -1), self.weight)

    def loss(self, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (L, B, C) and labels (B,) -> the loss to descend on, a scalar, and the cross entropies (L,)."""
        each = F.cross_entropy(logits.flatten(0, 1), labels.repeat(len(self.lrs)), reduction='none')
        entropies = each.unflatten(0, logits.shape[:2]).mean(dim=1)  # (L,)
        return (entropies * entropies.new_tensor(self.lrs)).sum(), entropies.detach()


def fit_linear_probe(
    train_feats: Tensor,
    train_labels: Tensor,
    test_feats: Tensor,
    test_labels: Tensor,
    num_classes: int,
    lrs: Sequence[float] = DINOV3_LRS,
    max_iters: int = 12500,
    batch_size: int = 128,
    val_fraction: float = 0.1,
    seed: int = 0,
    device: torch.device | str | None = None,
) -> dict[str, Any]:
    """Train a probe for each learning rate on fixed features, and test the best one.

    SGD with momentum 0.9 and without weight decay; each rate times batch_size / 256, falling to 0 along a cosine. What
    differs from DINOv3: images are not augmented, and the best rate is chosen on held-out training features, never on
    those of the test.

    Args:
        train_feats: (N, D).
        train_labels: (N,) integers below num_classes.
        test_feats: (M, D).
        test_labels: (M,) integers below num_classes.
        num_classes: C.
        lrs: Learning rates to try; of equally good ones the first is taken.
        max_iters: Steps; DINOv3's 10 times 1250.
        batch_size: Features in a step.
        val_fraction: Share of the training features on which the rate is chosen; not trained on.
        seed: Of the split, the weights and the batches.
        device: Where to compute; None: where ``train_feats`` are.

    Returns:
        ``best_lr``; ``accuracy`` of its probe on the test features, in 0..1; ``val_accuracies``, one for each rate;
        ``test_accuracies``, the same on the test features, to look at and not to choose by.

    Raises:
        ValueError: Features and labels that don't go together.
    """
    require_features(train_feats, test_feats, train_labels, test_labels, num_classes)
    device = torch.device(device) if device is not None else train_feats.device
    fitted, held_out = split_off_validation(train_labels, val_fraction, seed)
    generator = torch.Generator().manual_seed(seed)
    probes = LinearProbes(train_feats.shape[1], num_classes, lrs, generator).to(device)
    optimiser = torch.optim.SGD(probes.parameters(), lr=batch_size / 256, momentum=0.9)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, max_iters)
    progress = Progress(f'{len(probes.lrs)} linear probes', max_iters, 'steps')
    waiting = torch.empty(0, dtype=torch.long)
    for step in range(1, max_iters + 1):
        while len(waiting) < batch_size:
            waiting = torch.cat([waiting, fitted[torch.randperm(len(fitted), generator=generator)]])
        batch, waiting = waiting[:batch_size], waiting[batch_size:]
        loss, _ = probes.loss(
            probes(train_feats[batch].to(device, torch.float32)), train_labels[batch].to(device, torch.long)
        )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        progress.update(step)
    val = _accuracies(probes, train_feats[held_out], train_labels[held_out], device)
    test = _accuracies(probes, test_feats, test_labels, device)
    best = max(val, key=val.__getitem__)
    return {'best_lr': best, 'accuracy': test[best], 'val_accuracies': val, 'test_accuracies': test}


@torch.no_grad()
def _accuracies(probes: LinearProbes, features: Tensor, labels: Tensor, device: torch.device) -> dict[float, float]:
    hits = torch.zeros(len(probes.lrs), dtype=torch.long, device=device)
    for part, truth in zip(features.split(1024), labels.split(1024), strict=True):
        hits += (probes(part.to(device, torch.float32)).argmax(dim=2) == truth.to(device)).sum(dim=1)
    return {lr: count / len(labels) for lr, count in zip(probes.lrs, hits.tolist(), strict=True)}
