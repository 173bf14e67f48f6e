"""Watch adapters in training: panels of validation images, and curves of what they do."""

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from mmengine.runner import IterBasedTrainLoop, Runner
from torch import Tensor, nn

from ..backbones import find_backbones, unwrap
from ..backbones.adapted_vit import Record
from ..registry import HOOKS
from .panels import draw_attention, draw_features, draw_gates
from .streams import compare_streams


@HOOKS.register_module()
class AttentionVisHook(Hook):
    """Draw validation images and adapters' curves into the runner's visualizer, whatever its backends are.

    Pictures, after each validation, or every ``interval``-th epoch or iteration: ``attention_N`` and ``features_N`` of
    the N-th validation image, ``gates`` of them all. Curves, every ``log_interval`` iterations: what `Adapter.curves`
    of each adapter returns, as ``adapters/NAME/CURVE``; ``adapters/NAME/grad_norm/all``, the norm of its gradients as
    the optimiser gets them, clipped where they are clipped; and where an adapter works between blocks,
    ``adapters/NAME/update/BLOCK``, the norm of what it adds to the tokens of the batch, relative to theirs.

    The main process alone draws; nothing of it changes the run.

    Args:
        images: Which images of the validation set.
        interval: Epochs, or iterations, from picture to picture; None: after each validation.
        by_epoch: Whether ``interval`` counts epochs; None: as the run's train loop counts.
        log_interval: Iterations from point to point of the curves.
        block: Whose attention is drawn, from 0; None: that of the guidance.

    Raises:
        ValueError: The model has no DAGAViT, or not this block; there are no validation images, or not
            these; epochs are to be counted in a run of iterations.
    """

    def __init__(
        self,
        images: Sequence[int] = (0, 1, 2, 3),
        interval: int | None = None,
        by_epoch: bool | None = None,
        log_interval: int = 50,
        block: int | None = None,
    ) -> None:
        self.images = tuple(images)
        self.interval = interval
        self.by_epoch = by_epoch
        self.log_interval = log_interval
        self.block = block
        self._watched = ExitStack()  # what is to be undone after an iteration that is looked at
        self._record: Record | None = None
        self._curves: dict[str, Tensor] = {}

    def before_train(self, runner: Runner) -> None:
        """Find the backbone, and say now what could not be drawn later."""
        found = list(find_backbones(runner.model).values())
        if not found:
            raise ValueError('AttentionVisHook looks into a daga_mm.DAGAViT, and this model has none')
        self.backbone = found[0]
        last = self.backbone.out_indices[-1]
        if self.block is None:
            self.block = min(self.backbone.guidance_layer, last)
        elif not 0 <= self.block <= last:
            raise ValueError(f'AttentionVisHook: block {self.block}, and {self.backbone.arch} runs blocks 0 to {last}')
        if self.images:
            if runner.val_loop is None:
                raise ValueError('AttentionVisHook draws validation images: the config needs a val_dataloader')
            count = len(runner.val_dataloader.dataset)
            outside = [number for number in self.images if not 0 <= number < count]
            if outside:
                raise ValueError(f'AttentionVisHook: images {outside} of a validation set of {count}')
        self.preprocessor = unwrap(runner.model).data_preprocessor
        of_iterations = isinstance(runner.train_loop, IterBasedTrainLoop)
        if self.by_epoch is None:
            self.by_epoch = not of_iterations
        elif self.by_epoch and of_iterations:
            raise ValueError('AttentionVisHook: by_epoch=True, and this run counts iterations: leave by_epoch out')

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Look at every ``log_interval``-th iteration."""
        if not (self.every_n_train_iters(runner, self.log_interval) and is_main_process()):
            return
        self._record = self._watched.enter_context(self.backbone.recorded())
        if isinstance(runner.optim_wrapper, OptimWrapper):
            handle = runner.optim_wrapper.optimizer.register_step_pre_hook(self._see_gradients)
            self._watched.callback(handle.remove)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Write the points of the curves, and the pictures that are due."""
        if self._record is not None:
            self._watched.close()
            self._see_adapters(self._record)
            self._record = None
            if self._curves:
                values = torch.stack(list(self._curves.values())).tolist()  # one wait for the GPU
                runner.visualizer.add_scalars(dict(zip(self._curves, values, strict=True)), step=runner.iter + 1)
            self._curves = {}
        if self.interval and not self.by_epoch and self.every_n_train_iters(runner, self.interval):
            self._draw(runner, runner.iter + 1)

    def after_train_epoch(self, runner: Runner) -> None:
        """Draw the pictures that are due."""
        if self.interval and self.by_epoch and self.every_n_epochs(runner, self.interval):
            self._draw(runner, runner.iter)

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Draw the pictures, if validations are what they go by; a validation outside a training has none."""
        if self.interval is None and self.by_epoch is not None:
            self._draw(runner, runner.iter)

    @torch.no_grad()
    def _see_adapters(self, record: Record) -> None:
        adapters: Any = self.backbone.adapters
        for name, adapter in adapters.items():
            curves = {curve: value.detach().float() for curve, value in adapter.curves().items()}
            for index in () if adapter.works_inside else adapter.layers:
                before = record.before[index].float()
                curves[f'update/{index}'] = (record.after[index].float() - before).norm() / before.norm()
            self._curves |= {f'adapters/{name}/{curve}': value for curve, value in curves.items()}

    def _see_gradients(self, optimizer: Any, args: tuple, kwargs: dict) -> None:
        adapters: Any = self.backbone.adapters
        for name, adapter in adapters.items():
            gradients = [p.grad.detach().float() for p in adapter.parameters() if p.grad is not None]
            if gradients:
                self._curves[f'adapters/{name}/grad_norm/all'] = nn.utils.get_total_norm(gradients)

    def _draw(self, runner: Runner, step: int) -> None:
        if not (self.images and is_main_process()):
            return
        gates: dict[int, list[Tensor]] = {}
        updates: dict[int, list[Tensor]] = {}
        loader = runner.val_dataloader
        for number in self.images:
            item = loader.dataset[number]
            picture = item['inputs'].permute(1, 2, 0).numpy()[..., ::-1].astype(np.uint8)  # as loaded: blue first
            batch = self.preprocessor(loader.collate_fn([item]), False)
            streams = compare_streams(self.backbone, batch['inputs'])
            patch, block = self.backbone.patch_size, self.block or 0
            runner.visualizer.add_image(
                f'attention_{number}', draw_attention(picture, streams, 0, block, patch), step=step
            )
            runner.visualizer.add_image(f'features_{number}', draw_features(picture, streams, 0, patch), step=step)
            for layer, gate in streams.gates.items():
                gates.setdefault(layer, []).append(gate.mean(dim=1))
                updates.setdefault(layer, []).append(streams.updates[layer])
        if gates:
            values, moved = ({b: torch.cat(parts) for b, parts in lists.items()} for lists in (gates, updates))
            runner.visualizer.add_image('gates', draw_gates(values, streams.mixing, moved), step=step)
