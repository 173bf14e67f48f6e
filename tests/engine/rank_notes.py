"""A hook that notes what each process saw and what came of it."""

from pathlib import Path
from typing import Any

import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.registry import HOOKS
from mmengine.runner import Runner


def paths(batch: dict) -> list[str]:
    """The image files of a batch."""
    return [Path(sample.img_path).name for sample in batch['data_samples']]


def state(runner: Runner) -> dict[str, torch.Tensor]:
    """A copy of the model's parameters and buffers."""
    model = runner.model.module if is_model_wrapper(runner.model) else runner.model
    return {name: value.clone() for name, value in model.state_dict().items()}


@HOOKS.register_module()
class RankNotes(Hook):
    """Write ``rank{N}.pth`` into the work dir.

    In it are the states at start and end of training, and the files of each batch.
    """

    priority = 'VERY_LOW'  # after the optimiser's schedule and the checkpoint

    def before_train(self, runner: Runner) -> None:
        self.notes: dict[str, Any] = {'start': state(runner), 'batches': []}

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        self.notes['batches'].append(paths(data_batch))

    def after_train(self, runner: Runner) -> None:
        self.notes['end'] = state(runner)
        torch.save(self.notes, Path(runner.work_dir) / f'rank{get_rank()}.pth')
