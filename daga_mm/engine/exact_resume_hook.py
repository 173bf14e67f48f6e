"""Go on as if nothing had happened."""

import logging
from collections.abc import Iterable
from copy import copy
from inspect import signature
from itertools import islice
from typing import Any, cast

import torch
from mmengine.dist import all_gather_object, broadcast, get_rank
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner
from torch import nn
from torch.utils.data import DataLoader

from ..datasets import DefaultSampler, InfiniteSampler, set_seed
from ..registry import HOOKS


@HOOKS.register_module()
class ExactResumeHook(Hook):
    """A run that was interrupted and resumed ends with the weights of one that was not.

    mmengine restores weights, optimiser and schedules. What is random is here tied to where the run is, so that nothing
    of it needs to be saved: a step draws from a state that seed, iteration and rank give; an image is augmented under
    the state that its index brings (`daga_mm.DefaultSampler`, `daga_mm.InfiniteSampler`). On top of that

    - data that were seen are skipped by counting, not by reading them again;
    - an epoch that was interrupted after a checkpoint by iterations goes on where it was. With other batches than
      before, it goes on after the same share of them;
    - a validation that was due when the run was stopped is made up for;
    - after a validation or a checkpoint, all ranks go on from the first one's buffers (batch norm's statistics),
      those that the checkpoint holds. So all validate the same model, too.

    Gradients that are being accumulated are not in a checkpoint: with ``accumulative_counts`` of k it should be written
    every k iterations, or a multiple of that.

    Exact on the CPU; on GPUs as far as their kernels are deterministic (``randomness=dict(deterministic=True)``).
    """

    priority = 'LOWEST'  # other hooks are ready when the rest of an epoch, or the validation made up for, calls them

    def __init__(self) -> None:
        self._done = 0  # batches of the epoch that runs
        self._progress = (0, 1)  # of the checkpoint's epoch: batches done, and how many it has

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        loop = runner.train_loop
        if isinstance(loop, EpochBasedTrainLoop):
            inside = checkpoint['meta']['epoch'] == loop.epoch  # else it is the end of the epoch, or behind it
            checkpoint['meta']['epoch_progress'] = (self._done if inside else 0, len(loop.dataloader))

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        self._progress = (checkpoint.get('meta') or {}).get('epoch_progress', self._progress)

    def before_train(self, runner: Runner) -> None:
        loop = runner.train_loop
        sampler = _sampler(loop.dataloader)
        if not isinstance(sampler, DefaultSampler | InfiniteSampler):
            print_log(
                f'{type(sampler).__name__} knows of no random state: after a resume images are augmented otherwise '
                'than without. Set train_dataloader.sampler.type to daga_mm.DefaultSampler or daga_mm.InfiniteSampler',
                'current',
                logging.WARNING,
            )
        else:
            seed = all_gather_object(runner.seed)[0]
            if loop.iter or sampler.seed != seed:
                sampler.seed = seed  # a checkpoint's is read after the sampler was built
                if isinstance(loop, IterBasedTrainLoop):
                    _advance(loop, sampler)
        done, count = self._progress
        if loop.iter and done and isinstance(loop, EpochBasedTrainLoop):
            _finish_epoch(runner, done * len(loop.dataloader) // count)
        if loop.iter and _validation_is_due(runner):
            print_log('Validate now what was due when the run stopped', 'current')
            runner.val_loop.run()

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        self._done = batch_idx + 1
        set_seed(runner.seed, runner.iter, get_rank())
        if torch.cuda.is_available():
            torch.cuda.manual_seed_all(torch.initial_seed())

    def after_train_epoch(self, runner: Runner) -> None:
        self._done = 0

    def before_val_epoch(self, runner: Runner) -> None:
        share_buffers(runner.model)


def share_buffers(model: nn.Module) -> None:
    """Give all ranks the first one's buffers: those that a checkpoint holds. All ranks call it."""
    for buffer in model.buffers():
        broadcast(buffer)


def _sampler(dataloader: Any) -> Any:
    """Who draws the indices; a batch sampler such as mmdet's, by aspect ratio, has it inside."""
    inner = getattr(dataloader.batch_sampler, 'sampler', None)
    return dataloader.sampler if inner is None else inner


def _advance(loop: IterBasedTrainLoop, sampler: Any) -> None:
    """Let the loop's data begin after those of the iterations that are done."""
    loader, steps = loop.dataloader, 0
    if isinstance(sampler, InfiniteSampler):  # else there are several passes, whose batches are read again
        loader, steps = _without(loader, loop.iter), loop.iter
    loop.dataloader_iterator = _Advanced(type(loop.dataloader_iterator)(loader), steps)


def _finish_epoch(runner: Runner, done: int) -> None:
    """Run the rest of an epoch, as the loop runs a whole one."""
    loop = runner.train_loop
    print_log(f'Go on after {done} of {len(loop.dataloader)} iterations of the epoch', 'current')
    runner.call_hook('before_train_epoch')
    runner.model.train()
    for index, batch in enumerate(_without(loop.dataloader, done), done):
        loop.run_iter(index, batch)
    runner.call_hook('after_train_epoch')
    loop._epoch += 1


def _without(loader: DataLoader, count: int) -> DataLoader:
    """The loader for one pass, which leaves out its first batches and does not read them."""
    loader._iterator = None  # workers that persist have begun to load from the old place
    rest, batches = copy(loader), cast(Iterable, _afresh(loader.batch_sampler))
    rest.__dict__['batch_sampler'] = islice(batches, count, None)  # PyTorch refuses a plain assignment
    return rest


def _afresh(batches: Any) -> Any:
    """The batch sampler as it was before those workers drew from it: mmdet's keeps images that wait for company."""
    if list(signature(type(batches)).parameters) == ['sampler', 'batch_size', 'drop_last']:
        return type(batches)(batches.sampler, batches.batch_size, batches.drop_last)
    return batches


class _Advanced:
    """An iterator that stands ``steps`` ahead already: the loop's own calls to get there do nothing."""

    def __init__(self, iterator: Any, steps: int) -> None:
        self.iterator = iterator
        self.steps = steps

    def __iter__(self) -> '_Advanced':
        return self

    def __next__(self) -> Any:
        if self.steps:
            self.steps -= 1
            return None
        return next(self.iterator)


def _validation_is_due(runner: Runner) -> bool:
    """Whether the loop validates at the point where the run was resumed. A checkpoint is written before."""
    loop = runner.train_loop
    if runner.val_loop is None:
        return False
    loop._decide_current_val_interval()  # dynamic_intervals: it may have changed on the way
    if isinstance(loop, EpochBasedTrainLoop):
        done, last = loop.epoch, loop.max_epochs
    else:
        done, last = loop.iter, loop.max_iters
    return done >= loop.val_begin and (done % loop.val_interval == 0 or done == last)
