"""Stop a run that learns nothing any more."""

import logging
import math
from collections.abc import Mapping
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner

from ..errors import RunError
from ..registry import HOOKS


@HOOKS.register_module()
class FiniteLossHook(Hook):
    """End a run whose loss is not finite for several steps, and say where that began.

    One such step can be an accident, which mixed precision's loss scale or the next batch overcomes: it is logged.

    Args:
        patience: Steps in a row that end the run.

    Raises:
        RunError: The loss was not finite in ``patience`` steps.
        ValueError: ``patience`` is less than 1.
    """

    priority = 'NORMAL'  # before checkpoints are saved

    def __init__(self, patience: int = 5) -> None:
        if patience < 1:
            raise ValueError(f'patience is a number of steps, 1 or more, not {patience}')
        self.patience = patience
        self._steps = 0
        self._first = ''

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Mapping[str, Any] | None = None
    ) -> None:
        values = {
            name: float(torch.as_tensor(value).detach()) for name, value in (outputs or {}).items() if 'loss' in name
        }
        broken = [f'{name} is {value}' for name, value in values.items() if not math.isfinite(value)]
        if not broken:
            self._steps = 0
            return
        self._steps += 1
        if self._steps == 1:
            terms = [one for one in broken if not one.startswith('loss is')] or broken  # 'loss' is the sum
            images = ', '.join(_image_paths(data_batch)) or 'of unknown images'
            self._first = f'in iteration {runner.iter + 1} {", ".join(terms)}; the batch was {images}'
            print_log(f'The loss is not finite: {self._first}', 'current', logging.WARNING)
        if self._steps >= self.patience:
            raise RunError(
                f'the loss was not finite for {self._steps} steps: {self._first}. Checkpoints from before are as they '
                'were. Look at that batch; a lower learning rate, a longer warm-up or optim_wrapper.clip_grad may help'
            )


def _image_paths(data_batch: Any) -> list[str]:
    """The files of a batch as mmdet, mmseg and mmpretrain pack it."""
    samples = data_batch.get('data_samples') if isinstance(data_batch, Mapping) else None
    return [str(sample.img_path) for sample in samples or () if getattr(sample, 'img_path', None)]
