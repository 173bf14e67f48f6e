"""Watch DAGA while it is trained: panels of validation images, and curves of gates, mixing weights and gradients."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper
from mmengine.runner import IterBasedTrainLoop, Runner
from torch import Tensor, nn

from ..backbones import DAGAViT
from ..registry import HOOKS
from .panels import draw_attention, draw_features, draw_gates
from .streams import compare_streams


@HOOKS.register_module()
class AttentionVisHook(Hook):
    """Draw validation images and DAGA's curves into the runner's visualizer, whatever its backends are.

    Pictures, after each validation, or every ``interval``-th epoch or iteration: ``attention_N`` and ``features_N`` of
    the N-th validation image, ``gates`` of them all. Curves, every ``log_interval`` iterations, by the block that a
    DAGA stands behind: ``daga/mixing/BLOCK``, the mixing weight; ``daga/gate/BLOCK``, the mean gate of the batch;
    ``daga/update/BLOCK``, the norm of what DAGA adds to the patches, relative to theirs; ``daga/norm/BLOCK`` and
    ``daga/grad_norm/BLOCK``, the norms of its weights and of their gradients, as the optimiser gets them: clipped
    where they are clipped, and only where it steps in that iteration.

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
        self._watched: list[Any] = []  # handles, while an iteration is looked at
        self._curves: dict[str, Tensor] = {}

    def before_train(self, runner: Runner) -> None:
        """Find the backbone, and say now what could not be drawn later."""
        model: Any = runner.model.module if is_model_wrapper(runner.model) else runner.model
        found = [module for module in model.modules() if isinstance(module, DAGAViT)]
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
        self.preprocessor = model.data_preprocessor
        of_iterations = isinstance(runner.train_loop, IterBasedTrainLoop)
        if self.by_epoch is None:
            self.by_epoch = not of_iterations
        elif self.by_epoch and of_iterations:
            raise ValueError('AttentionVisHook: by_epoch=True, and this run counts iterations: leave by_epoch out')

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Look at every ``log_interval``-th iteration."""
        if not (self.every_n_train_iters(runner, self.log_interval) and is_main_process()):
            return
        layers: Any = self.backbone.adapters['layers']
        for name, layer in layers.items():
            self._watched.append(layer.register_forward_hook(self._see_layer(name)))
        if isinstance(runner.optim_wrapper, OptimWrapper):
            self._watched.append(runner.optim_wrapper.optimizer.register_step_pre_hook(self._see_gradients))

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Write the points of the curves, and the pictures that are due."""
        if self._watched:
            for handle in self._watched:
                handle.remove()
            self._watched = []
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

    def _see_layer(self, name: str) -> Any:
        def see(layer: Any, args: tuple, result: Tensor) -> None:
            patches, instruction, grid = args
            with torch.no_grad():
                self._curves[f'daga/mixing/{name}'] = layer.mixing.detach().float().sum()
                self._curves[f'daga/gate/{name}'] = layer.gate(instruction, grid).float().mean()
                self._curves[f'daga/update/{name}'] = (result - patches).float().norm() / patches.float().norm()
                self._curves[f'daga/norm/{name}'] = _norm(layer.parameters())

        return see

    def _see_gradients(self, optimizer: Any, args: tuple, kwargs: dict) -> None:
        layers: Any = self.backbone.adapters['layers']
        for name, layer in layers.items():
            self._curves[f'daga/grad_norm/{name}'] = _norm(p.grad for p in layer.parameters() if p.grad is not None)

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


def _norm(tensors: Any) -> Tensor:
    """The norm of all of them together; 0 of none."""
    return nn.utils.get_total_norm([tensor.detach().float() for tensor in tensors])
