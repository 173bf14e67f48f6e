"""A resumed run sees the data that it would have seen, wherever in an epoch it was stopped."""

from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook
from torch.utils.data import BatchSampler

from daga_mm.datasets import DefaultSampler, InfiniteSampler
from daga_mm.engine import CheckpointHook, ExactResumeHook, Runner

from ..toys import NUMBERS, Better, Line, Points


class Batches(Hook):
    """Notes the iteration, the place in the epoch, the images and the learning rate of each step."""

    def __init__(self) -> None:
        self.seen: list[tuple] = []
        self.validated: list[int] = []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        images = [sample.img_path for sample in data_batch['data_samples']]
        self.seen.append((runner.iter, runner.epoch, batch_idx, images, runner.optim_wrapper.get_lr()['lr']))

    def before_val(self, runner):
        self.validated.append(runner.epoch)


class Recorded(Points):
    """Points that say which of them were read."""

    def __init__(self) -> None:
        super().__init__()
        self.read: list[int] = []

    def __getitem__(self, index: int) -> dict:
        self.read.append(index)
        return super().__getitem__(index)


def run(work_dir: Path, data=None, sampler=DefaultSampler, batch_size=2, workers=0, resume=None, **options):
    """Two epochs of four steps, or eight iterations, with a checkpoint after each; what was seen, and the weights."""
    torch.manual_seed(0)
    batches, loader = (
        Batches(),
        dict(collate_fn=dict(type='pseudo_collate'), num_workers=workers, persistent_workers=bool(workers)),
    )
    runner = Runner(
        Line(),
        str(work_dir),
        train_dataloader=dict(
            batch_size=batch_size, dataset=data or Points(), sampler=dict(type=sampler, shuffle=True), **loader
        )
        | options.pop('train_dataloader', {}),
        val_dataloader=dict(batch_size=2, dataset=Points(), sampler=dict(type=DefaultSampler, shuffle=False), **loader),
        val_cfg={},
        val_evaluator=[Better()],
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1, momentum=0.9)),
        custom_hooks=[ExactResumeHook(), batches],
        randomness=dict(seed=0),
        log_level='ERROR',
        experiment_name=f'resumed_{next(NUMBERS)}',
        resume=resume is not None,
        load_from=resume,
        **dict(
            train_cfg=dict(by_epoch=True, max_epochs=2),
            param_scheduler=dict(type='MultiStepLR', milestones=[1], gamma=0.5),
            default_hooks=dict(checkpoint=CheckpointHook(1, by_epoch=False)),
        )
        | options,
    )
    return batches, runner.train().state_dict()['slope.weight'], runner


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp('whole')
    return folder, *run(folder)[:2]


@pytest.mark.parametrize(('stopped', 'workers'), [(1, 0), (3, 2), (4, 0), (6, 0)])
def test_an_epoch_goes_on_where_a_checkpoint_by_iterations_left_it(stopped, workers, whole, tmp_path):
    folder, expected, weight = whole
    resumed, found, runner = run(tmp_path, workers=workers, resume=str(folder / f'iter_{stopped}.pth'))
    assert len(expected.seen) == 8 and resumed.seen == expected.seen[stopped:]
    assert torch.equal(found, weight) and (runner.epoch, runner.iter) == (2, 8)
    assert resumed.validated == expected.validated[(stopped - 1) // 4 :]


def test_the_data_before_are_not_read(whole, tmp_path):
    folder, expected, _ = whole
    _, _, runner = run(tmp_path, data=Recorded(), resume=str(folder / 'iter_3.pth'))
    assert [f'{index}.jpg' for index in runner.train_dataloader.dataset.read] == [
        name for step in expected.seen[3:] for name in step[3]
    ]


def test_with_other_batches_the_same_share_of_the_epoch_is_left_out(whole, tmp_path):
    folder, expected, _ = whole
    resumed, _, runner = run(tmp_path, batch_size=1, resume=str(folder / 'iter_3.pth'))
    first = [name for step in resumed.seen[:2] for name in step[3]]
    assert first == expected.seen[3][3] and len(resumed.seen) == 2 + 8 and runner.epoch == 2


def test_a_checkpoint_by_epochs_begins_the_next_one(whole, tmp_path):
    _, expected, weight = whole
    by_epoch = dict(default_hooks=dict(checkpoint=CheckpointHook(1, by_epoch=True)))
    run(tmp_path, **by_epoch)
    resumed, found, _ = run(tmp_path / 'resumed', resume=str(tmp_path / 'epoch_1.pth'), **by_epoch)
    assert resumed.seen == expected.seen[4:] and torch.equal(found, weight)


class Pairs(BatchSampler):
    """Even indices with even ones, odd with odd, as batches by aspect ratio: a batch depends on those before.

    As in mmdet's AspectRatioBatchSampler, what waits for company outlives the pass.
    """

    def __init__(self, sampler, batch_size: int, drop_last: bool = False) -> None:
        super().__init__(sampler, batch_size, drop_last)
        self.pools: tuple[list, list] = ([], [])

    def __iter__(self):
        for index in self.sampler:
            pool = self.pools[index % 2]
            pool.append(index)
            if len(pool) == self.batch_size:
                yield pool[:]
                pool.clear()


@pytest.mark.parametrize('workers', [0, 2])
def test_a_loop_by_iterations_reads_nothing_again(workers, tmp_path):
    options = dict(
        workers=workers,
        sampler=InfiniteSampler,
        train_cfg=dict(by_epoch=False, max_iters=8, val_interval=8),
        train_dataloader=dict(batch_sampler=dict(type=Pairs, drop_last=False)),
        param_scheduler=[],
    )
    expected, weight, _ = run(tmp_path, **options)
    resume = str(tmp_path / 'iter_5.pth')
    resumed, found, runner = run(tmp_path / 'resumed', data=Recorded(), resume=resume, **options)
    assert resumed.seen == expected.seen[5:] and torch.equal(found, weight)
    read = [f'{index}.jpg' for index in runner.train_dataloader.dataset.read]
    assert workers or read == [name for step in resumed.seen for name in step[3]]
