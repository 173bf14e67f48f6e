"""Short runs of each task in a process of its own, to be killed and resumed."""

import json
import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.hooks import Hook

import daga_mm.compat  # noqa: F401 (mmpretrain imports mmcv's operators)
from daga_mm.engine import Runner

from ..small_runs import TRAINED, small_config

TASKS = (*TRAINED, 'depth by epochs')
BY_ITERATIONS = ('segmentation', 'linear', 'depth')


def short_config(task: str, data: Path, weights: Path, work_dir: Path, workers: int) -> Config:
    """The task's config as 6 steps, saved after each second one.

    By epochs of 2 steps with a validation after each, or by iterations with one after the 4th and the last.
    """
    config = small_config(task, data, weights, work_dir)
    for loader in (config.train_dataloader, config.val_dataloader):
        loader.update(num_workers=workers, persistent_workers=workers > 0)
    config.train_dataloader.batch_size = 8 if task in ('classification', 'linear') else 3
    config.val_dataloader.batch_size = 1  # three batches or more to be killed in the midst of
    steps = dict(max_iters=6, val_interval=4) if task in BY_ITERATIONS else dict(max_epochs=3, val_interval=1)
    config.train_cfg.update(steps)
    config.default_hooks.checkpoint.update(interval=2 if task in BY_ITERATIONS else 1, max_keep_ckpts=1)
    config.param_scheduler = [dict(type='LinearLR', start_factor=0.1, by_epoch=False, end=5)]
    config.optim_wrapper.optimizer.lr = 1e-2
    config.log_level = 'WARNING'
    config.visualizer.name = f'{task} {work_dir}'  # mmengine keeps them by name
    return config


class Kill(Hook):
    """kill -9 of this process: in training step N ('step') or validation step N ('val'), or while it saves ('save')."""

    priority = 'HIGHEST'

    def __init__(self, where: str, number: int) -> None:
        self.where, self.left = where, number

    def _count(self) -> None:
        self.left -= 1
        if not self.left:
            os.kill(os.getpid(), signal.SIGKILL)

    def before_train(self, runner: Runner) -> None:
        if self.where == 'step':  # the gradients are there, the weights as before
            step = runner.optim_wrapper.step

            def killed(*args: Any, **kwargs: Any) -> None:
                self._count()
                step(*args, **kwargs)

            runner.optim_wrapper.step = killed
        if self.where == 'save':
            fsync = os.fsync

            def cut_off(descriptor: int) -> None:
                name = os.readlink(f'/proc/self/fd/{descriptor}')
                if name.endswith('.pth.part'):
                    if self.left == 1:
                        os.truncate(name, os.path.getsize(name) // 2)
                    self._count()
                fsync(descriptor)

            os.fsync = cut_off

    def before_val_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        if self.where == 'val':
            self._count()


class Reads(Hook):
    """Note which training images this process reads, in ``work_dir/reads.json``."""

    priority = 'HIGHEST'  # before anything is read

    def before_train(self, runner: Runner) -> None:
        self.paths: list[str] = []
        pipeline = runner.train_dataloader.dataset.pipeline

        def noted(data: dict) -> Any:
            self.paths.append(data['img_path'])
            return pipeline(data)

        runner.train_dataloader.dataset.pipeline = noted

    def after_train(self, runner: Runner) -> None:
        Path(runner.work_dir, 'reads.json').write_text(json.dumps(self.paths))


def _run(config: Config, kill: tuple[str, int] | None) -> None:
    torch.set_num_threads(1)
    runner = Runner.from_cfg(config)
    if not config.train_dataloader.num_workers:
        runner.register_hook(Reads())
    if kill:
        runner.register_hook(Kill(*kill))
    runner.train()


def run(config: Config, kill: tuple[str, int] | None = None) -> int:
    """Train in a process of its own; its exit code, -9 if it was killed."""
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload([__name__])  # imports once, and no threads that a fork would lose
    process = context.Process(target=_run, args=(config, kill))
    process.start()
    process.join(timeout=240)
    if process.exitcode is None:
        process.kill()
        raise TimeoutError(f'{config.visualizer.name} did not end')
    return process.exitcode
