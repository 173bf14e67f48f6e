"""A hook that notes what each process saw and what came of it."""

from pathlib import Path
from typing import Any

import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from daga_mm.engine import whole_state


def paths(batch: dict) -> list[str]:
    """The image files of a batch."""
    return [Path(sample.img_path).name for sample in batch['data_samples']]


def state(runner: Runner) -> dict[str, torch.Tensor]:
    """A copy of the model's parameters and buffers; of a model in shards, in the first process."""
    return {name: value.clone() for name, value in whole_state(runner.model).items()}


def numbers_held(runner: Runner) -> int:
    """How many numbers of the trunk's blocks are in this process."""
    return sum(value.numel() for name, value in runner.model.named_parameters() if 'trunk.model.blocks.' in name)


@HOOKS.register_module()
class ShardNotes(Hook):
    """Write ``rank{N}.pth`` into the work dir.

    In it are the states at start and end of training, the files of each batch, and how much of the trunk is held.
    """

    priority = 'VERY_LOW'  # after the optimiser's schedule and the checkpoint

    def before_train(self, runner: Runner) -> None:
        self.notes: dict[str, Any] = {'start': state(runner), 'batches': []}

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        self.notes['batches'].append(paths(data_batch))

    def after_train(self, runner: Runner) -> None:
        self.notes.update(end=state(runner), held=numbers_held(runner))
        torch.save(self.notes, Path(runner.work_dir) / f'rank{get_rank()}.pth')
