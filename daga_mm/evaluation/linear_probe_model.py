"""DINOv3's linear protocol on images: a model that trains linear probes on a frozen backbone, and its metric."""

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from torch import Tensor

from ..registry import METRICS, MODELS
from .linear_probe import DINOV3_LRS, LinearProbes
from .weights import probed_backbone, refuse_fresh_adapters


@MODELS.register_module()
class LinearProbe(BaseModel):
    """Linear probes with many learning rates, trained at once on images; all of the backbone, DAGA included, is frozen.

    The recipe is dinov3/eval/linear.py's: [class; mean patch] of the last block, RandomResizedCrop and flip, SGD with
    momentum 0.9 and no weight decay, cosine, 12,500 iterations. A probe's rate is its entry of ``lrs`` times the
    optimiser's, so that DINOv3's "× batch / 256" is the optimiser's rate: 4 for 8 GPUs with 128 images each.

    DAGA comes trained, from a checkpoint of any model with the same backbone (``load_from``). That the best learning
    rate is chosen on the validation set, which is also the one reported, is DINOv3's own protocol: see
    :class:`LinearProbeMetric`.

    Args:
        backbone: Config of a DAGAViT with out_type 'cls_avg' and one out_index.
        num_classes: C.
        lrs: The learning rates, L of them.
        answering_lr: One of ``lrs``, whose probe's logits are the model's answer, for what wants a classifier.
        data_preprocessor: Config; its type is mmpretrain's ClsDataPreprocessor if it names none.
        init_cfg: As for any mmengine model.

    Raises:
        ValueError: The backbone has another output; DAGA modules that are still the identity when training starts; an
            ``answering_lr`` that is none of ``lrs``.
    """

    def __init__(
        self,
        backbone: dict,
        num_classes: int,
        lrs: Sequence[float] = DINOV3_LRS,
        answering_lr: float | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        if data_preprocessor is not None:
            data_preprocessor = {'type': 'mmpretrain.ClsDataPreprocessor', **data_preprocessor}
        super().__init__(data_preprocessor, init_cfg)
        self.backbone = MODELS.build(backbone)
        self.probes = LinearProbes(2 * probed_backbone(self).embed_dims, num_classes, lrs)
        if answering_lr is not None and answering_lr not in self.probes.lrs:
            raise ValueError(f'answering_lr {answering_lr} is none of lrs, {self.probes.lrs}')
        self.answering_lr = answering_lr
        self._adapters_seen = False
        self.backbone.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> 'LinearProbe':
        """The backbone stays in eval mode."""
        super().train(mode)
        self.backbone.eval()
        return self

    def check_optim_wrapper(self, optim_wrapper: OptimWrapper) -> None:
        """Refuse what is not linear in the gradient; `daga_mm.engine.Runner` calls it.

        Raises:
            ValueError: The optimiser is not SGD, it has weight decay, or gradients are clipped.
        """
        optimiser = optim_wrapper.optimizer
        faults = []
        if not isinstance(optimiser, torch.optim.SGD):
            faults.append(type(optimiser).__name__)
        if any(group['weight_decay'] for group in optimiser.param_groups):
            faults.append('a weight decay')
        if optim_wrapper.clip_grad_kwargs:
            faults.append('clip_grad')
        if faults:
            raise ValueError(
                f'optim_wrapper has {", ".join(faults)}, with which the probes of LinearProbe would not have the '
                'learning rates that they are named by: set SGD, weight_decay=0 and clip_grad=None'
            )

    def forward(self, inputs: Tensor, data_samples: list | None = None, mode: str = 'tensor') -> Any:
        """Images (B, 3, H, W) -> by ``mode``

        - 'tensor': logits (L, B, C), or (B, C) of the probe with ``answering_lr``.
        - 'predict': the samples, each with ``probe_labels``, a dict from learning rate to predicted class.
        - 'loss': ``loss``, and the cross entropy of each probe, which takes no part in it.
        """
        with torch.no_grad():
            (features,) = self.backbone(inputs)
        logits = self.probes(features)
        if mode == 'tensor':
            return logits if self.answering_lr is None else logits[self.probes.lrs.index(self.answering_lr)]
        assert data_samples is not None, f'mode={mode!r} needs data_samples'
        if mode == 'predict':
            for sample, labels in zip(data_samples, logits.argmax(dim=2).T.tolist(), strict=True):
                sample.set_field(dict(zip(self.probes.lrs, labels, strict=True)), 'probe_labels')
            return data_samples
        if mode == 'loss':
            if not self._adapters_seen:  # only now is it certain that the weights are loaded
                refuse_fresh_adapters(self.backbone)
                self._adapters_seen = True
            labels = torch.cat([sample.gt_label for sample in data_samples])
            loss, entropies = self.probes.loss(logits, labels)
            return {
                'loss': loss,
                **{f'entropy_lr{lr:g}': value for lr, value in zip(self.probes.lrs, entropies, strict=True)},
            }
        raise ValueError(f"mode is 'tensor', 'predict' or 'loss', not {mode!r}")


@METRICS.register_module()
class LinearProbeMetric(BaseMetric):
    """Top-1 accuracy in percent of every probe of a :class:`LinearProbe`, and the best one.

    The best learning rate is chosen on the very images that are measured, and with its accuracy: that is DINOv3's own
    protocol, 13 tries on ImageNet's validation set, and the figures to compare with are of that kind. For a rate that
    is chosen on training images, see :class:`~daga_mm.evaluation.LinearProbeLoop`.

    Results: ``linear/top1`` and ``linear/best_lr``, and ``linear/top1_lr…`` for each rate.
    """

    default_prefix = 'linear'

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Note for each sample, by learning rate, whether ``probe_labels`` has its ``gt_label``."""
        for sample in data_samples:
            truth = int(sample['gt_label'])
            self.results.append({lr: label == truth for lr, label in sample['probe_labels'].items()})

    def compute_metrics(self, results: list[dict[float, bool]]) -> dict[str, float]:
        accuracies = {lr: 100 * sum(hits[lr] for hits in results) / len(results) for lr in results[0]}
        best = max(accuracies, key=accuracies.__getitem__)
        each = {f'top1_lr{lr:g}': accuracy for lr, accuracy in accuracies.items()}
        return {'top1': accuracies[best], 'best_lr': best, **each}
