"""The smallest run that mmengine can make: a line through points, in milliseconds."""

import itertools
import os
import signal
import time
from pathlib import Path
from typing import Any

import torch
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.structures import BaseDataElement
from torch.utils.data import Dataset, get_worker_info

from daga_mm.datasets import DefaultSampler
from daga_mm.engine import CheckpointHook, FiniteLossHook, Runner

NUMBERS = itertools.count()


class Points(Dataset):
    """Points of y = 2x, each with the name of an image.

    Args:
        deadly_after: The last point kills the worker process that loads it, as soon as this file is there: workers
            load ahead of the iterations, and the run shall have got that far.
    """

    def __init__(self, deadly_after: Path | None = None) -> None:
        self.deadly_after = deadly_after

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> dict:
        if index == 7 and self.deadly_after and get_worker_info():
            while not self.deadly_after.exists():
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGKILL)
        return {'inputs': torch.tensor([index / 8]), 'data_samples': BaseDataElement(img_path=f'{index}.jpg')}


class Line(BaseModel):
    """y = wx; a batch's loss is NaN in the iterations that ``broken`` names."""

    def __init__(self, broken: tuple[int, ...] = ()) -> None:
        super().__init__()
        self.slope = torch.nn.Linear(1, 1, bias=False)
        self.broken = broken
        self.iterations = 0

    def forward(self, inputs: list, data_samples: Any = None, mode: str = 'tensor') -> Any:
        x = torch.stack(inputs)
        if mode != 'loss':
            return [BaseDataElement() for _ in x]
        self.iterations += 1
        loss = (self.slope(x) - 2 * x).square().mean()
        factor = torch.nan if self.iterations in self.broken else 1.0
        return {'loss_slope': loss * factor, 'loss_of_nothing': loss * 0}


class Better(BaseMetric):
    """A metric that grows from validation to validation."""

    count = 0

    def process(self, data_batch: Any, data_samples: Any) -> None:
        self.results.append(0)

    def compute_metrics(self, results: list) -> dict:
        self.count += 1
        return {'score': self.count}


class Do(Hook):
    """Call ``action(runner)`` before an iteration, the first of which is 0."""

    def __init__(self, iteration: int, action: Any) -> None:
        self.iteration, self.action = iteration, action

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        if runner.iter == self.iteration:
            self.action(runner)


def toy_runner(
    work_dir: Path,
    *hooks: Hook,
    model: Line | None = None,
    data: Points | None = None,
    workers: int = 0,
    steps: int = 6,
) -> Runner:
    """A run that saves and validates every second step, and keeps one checkpoint and the best."""
    loader = dict(batch_size=2, collate_fn=dict(type='pseudo_collate'))
    checkpoint = CheckpointHook(2, by_epoch=False, max_keep_ckpts=1, save_best='score', rule='greater')
    return Runner(
        model or Line(),
        str(work_dir),
        train_dataloader=loader
        | dict(dataset=data or Points(), sampler=dict(type=DefaultSampler, shuffle=False), num_workers=workers),
        val_dataloader=loader
        | dict(dataset=Points(), sampler=dict(type='DefaultSampler', shuffle=False), num_workers=0),
        train_cfg=dict(by_epoch=False, max_iters=steps, val_interval=2),
        val_cfg={},
        val_evaluator=[Better()],
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
        default_hooks=dict(checkpoint=checkpoint),
        custom_hooks=[FiniteLossHook(patience=2), *hooks],
        randomness=dict(seed=0),
        log_level='ERROR',
        experiment_name=f'toy_{next(NUMBERS)}',
    )
