"""The probes as loops: nearest neighbours, logistic regression, linear probes, all on features."""

import os
from collections.abc import Sequence
from typing import Any

from mmengine.dist import get_world_size
from torch import Tensor

from ..registry import LOOPS
from .knn import knn_classify
from .linear_probe import DINOV3_LRS, fit_linear_probe
from .logistic_regression import DINOV3_CS, fit_logistic_regression
from .probe_loop import ProbeLoop


@LOOPS.register_module()
class KNNLoop(ProbeLoop):
    """Weighted k nearest neighbours: top-1 and, with more than five classes, top-5 for every k at once.

    A class without a vote is no hit among the best five, however few classes have one.

    Args:
        *args: As for :class:`ProbeLoop`.
        ks: Numbers of neighbours.
        temperature: Of the votes' softmax.
        **kwargs: As for :class:`ProbeLoop`.
    """

    default_features = 'cls_token'
    prefix = 'knn'

    def __init__(
        self, *args: Any, ks: Sequence[int] = (10, 20, 100, 200), temperature: float = 0.07, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.ks = ks
        self.temperature = temperature

    def measure(
        self, train_feats: Tensor, train_labels: Tensor, test_feats: Tensor, test_labels: Tensor
    ) -> dict[str, float]:
        votes = knn_classify(
            train_feats, train_labels, test_feats, self.num_classes, self.ks, self.temperature, self.device
        )
        ranks = (1, 5) if self.num_classes > 5 else (1,)
        return {f'top{n}_k{k}': _accuracy(votes[k], test_labels, n) for k in self.ks for n in ranks}


@LOOPS.register_module()
class LogisticRegressionLoop(ProbeLoop):
    """Logistic regression with the strength of its penalty chosen on a part of the training images.

    Args:
        *args: As for :class:`ProbeLoop`.
        cs: Inverse strengths to try; None: DINOv3's 45, which take days on ImageNet.
        val_fraction: Share of the training images that chooses.
        seed: Of that split.
        max_iter: Iterations of a fit at most.
        **kwargs: As for :class:`ProbeLoop`.
    """

    default_features = 'cls_token'
    prefix = 'logistic_regression'

    def __init__(
        self,
        *args: Any,
        cs: Sequence[float] | None = None,
        val_fraction: float = 0.1,
        seed: int = 0,
        max_iter: int = 1000,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.options: dict[str, Any] = dict(
            cs=DINOV3_CS if cs is None else cs, val_fraction=val_fraction, seed=seed, max_iter=max_iter
        )

    def measure(
        self, train_feats: Tensor, train_labels: Tensor, test_feats: Tensor, test_labels: Tensor
    ) -> dict[str, float]:
        from threadpoolctl import threadpool_limits  # scikit-learn's

        # torchrun gives each of its processes one thread, and only this one has anything to do.
        with threadpool_limits(len(os.sched_getaffinity(0)) if get_world_size() > 1 else None):
            result = fit_logistic_regression(train_feats, train_labels, test_feats, test_labels, **self.options)
        return {'top1': 100 * result['accuracy'], 'best_c': result['best_c']}


@LOOPS.register_module()
class LinearProbeLoop(ProbeLoop):
    """Linear probes on features, the learning rate chosen on a part of the training images.

    Args:
        *args: As for :class:`ProbeLoop`.
        lrs: Learning rates to try.
        max_iters: Steps.
        batch_size: Features in a step.
        val_fraction: Share of the training images that chooses.
        seed: Of the split, the weights and the batches.
        **kwargs: As for :class:`ProbeLoop`.
    """

    default_features = 'cls_avg'
    prefix = 'linear'

    def __init__(
        self,
        *args: Any,
        lrs: Sequence[float] = DINOV3_LRS,
        max_iters: int = 12500,
        batch_size: int = 128,
        val_fraction: float = 0.1,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.options: dict[str, Any] = dict(
            lrs=lrs, max_iters=max_iters, batch_size=batch_size, val_fraction=val_fraction, seed=seed
        )

    def measure(
        self, train_feats: Tensor, train_labels: Tensor, test_feats: Tensor, test_labels: Tensor
    ) -> dict[str, float]:
        result = fit_linear_probe(
            train_feats, train_labels, test_feats, test_labels, self.num_classes, device=self.device, **self.options
        )
        each = {f'top1_lr{lr:g}': 100 * accuracy for lr, accuracy in result['test_accuracies'].items()}
        return {'top1': 100 * result['accuracy'], 'best_lr': result['best_lr'], **each}


def _accuracy(scores: Tensor, labels: Tensor, n: int) -> float:
    """Percentage of images whose class got votes, and is among the n with the most."""
    labels = labels.to(scores.device)[:, None]
    hits = (scores.topk(n, dim=1).indices == labels).any(dim=1, keepdim=True) & (scores.gather(1, labels) > 0)
    return 100 * float(hits.double().mean())
