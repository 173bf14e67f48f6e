"""Go on as if nothing had happened."""

import logging
from typing import Any

import torch
from mmengine.dist import all_gather_object, broadcast, get_rank
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner
from torch import nn

from ..registry import HOOKS
from .samplers import DefaultSampler, InfiniteSampler, set_seed


@HOOKS.register_module()
class ExactResumeHook(Hook):
    """A run that was interrupted and resumed ends with the weights of one that was not.

    mmengine restores weights, optimiser and schedules. What is random is here tied to where the run is, so that nothing
    of it needs to be saved: a step draws from a state that seed, iteration and rank give; an image is augmented under
    the state that its index brings (`daga_mm.DefaultSampler`, `daga_mm.InfiniteSampler`). On top of that

    - data that were seen are skipped by counting, not by reading them again;
    - a validation that was due when the run was stopped is made up for;
    - after a validation or a checkpoint, all ranks go on from the first one's buffers (batch norm's statistics),
      those that the checkpoint holds. So all validate the same model, too.

    Gradients that are being accumulated are not in a checkpoint: with ``accumulative_counts`` of k it should be written
    every k iterations, or a multiple of that.

    Exact on the CPU; on GPUs as far as their kernels are deterministic (``randomness=dict(deterministic=True)``).
    """

    priority = 'LOWEST'  # other hooks are ready when the validation that is made up for calls them

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
        if loop.iter and _validation_is_due(runner):
            print_log('Validate now what was due when the run stopped', 'current')
            runner.val_loop.run()

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        set_seed(runner.seed, runner.iter, get_rank())
        if torch.cuda.is_available():
            torch.cuda.manual_seed_all(torch.initial_seed())

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
    batches = loop.dataloader.batch_sampler
    if isinstance(sampler, InfiniteSampler) and type(batches) is torch.utils.data.BatchSampler:
        sampler.start = loop.iter * batches.batch_size
        steps = loop.iter
    else:  # what is in a batch depends on what was in those before: they are read again
        steps = 0
    # Workers have begun to load from the old place.
    loop.dataloader_iterator = _Advanced(type(loop.dataloader_iterator)(loop.dataloader), steps)


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
