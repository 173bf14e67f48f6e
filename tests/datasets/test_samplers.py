"""Indices that bring their random state."""

import pickle
import random
from itertools import islice

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from daga_mm.datasets import DefaultSampler, InfiniteSampler


class Random(torch.utils.data.Dataset):
    """An item is its index and a number of each generator that transforms draw from."""

    def __len__(self) -> int:
        return 5

    def __getitem__(self, index: int) -> list[float]:
        return [index, random.random(), np.random.rand(), torch.rand(()).item()]  # noqa: NPY002


def of_rank(rank: int, world_size: int) -> list:
    sampler = InfiniteSampler(Random(), seed=3)
    sampler.rank, sampler.world_size = rank, world_size
    return list(islice(sampler, 12))


def test_the_ranks_share_one_row_of_whole_passes():
    one = of_rank(0, 1)
    assert one[::2] == of_rank(0, 2)[:6] and one[1::2] == of_rank(1, 2)[:6]
    assert sorted(one[:5]) == sorted(one[5:10]) == list(range(5)) and one[:5] != one[5:10]


def items(sampler: type, workers: int, epochs: int = 2) -> list[list[float]]:
    dataset = Random()
    drawn = sampler(dataset, seed=3)
    loader = DataLoader(dataset, 2, sampler=drawn, num_workers=workers, collate_fn=list)
    found = []
    for epoch in range(epochs):
        if isinstance(drawn, DefaultSampler):
            drawn.set_epoch(epoch)
        found += [item for batch in islice(loader, 5) for item in batch]
    return found


@pytest.mark.parametrize('sampler', [DefaultSampler, InfiniteSampler])
def test_an_augmentation_is_that_of_its_pass_whoever_makes_it(sampler):
    alone = items(sampler, 0)
    random.seed(8)  # what happened before does not matter
    assert items(sampler, 2) == alone
    first = sorted(item[1:] for item in alone if item[0] == 0)
    assert len(first) > 1 and first[0] != first[-1], 'every pass augments an image anew'
    assert len({tuple(item[1:]) for item in alone[:5]}) == 5, 'every image is augmented in its own way'


def test_an_index_keeps_its_seed_on_the_way_to_a_worker():
    (index,) = islice(InfiniteSampler(Random(), seed=3), 1)
    copy = pickle.loads(pickle.dumps(index))
    assert copy == index and copy.seed == index.seed == (3, 0, index)
