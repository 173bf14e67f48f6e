"""Samplers whose indices bring their own random state: a run that was resumed sees what it would have seen."""

import random
from collections.abc import Iterator, Sequence, Sized
from itertools import count
from typing import Any

import numpy as np
import torch
from mmengine.dataset import DefaultSampler as _DefaultSampler
from mmengine.dataset import InfiniteSampler as _InfiniteSampler

from ..registry import DATA_SAMPLERS


def set_seed(*entropy: int) -> None:
    """Seed the generators of Python, NumPy and PyTorch on the CPU, each with its own number, from some integers."""
    words = np.random.SeedSequence(entropy).generate_state(3)
    random.seed(int(words[0]))
    np.random.seed(words[1])  # noqa: NPY002, it is what the transforms of OpenMMLab draw from
    torch.default_generator.manual_seed(int(words[2]))  # not those of GPUs: this is done for every image


class Draw(int):
    """An index of a data set, and the ``seed`` under which it is to be loaded and augmented."""

    seed: tuple[int, ...]

    def __new__(cls, index: int, *seed: int) -> 'Draw':
        draw = super().__new__(cls, index)
        draw.seed = seed
        return draw

    def __reduce__(self) -> tuple[type, tuple[int, ...]]:
        return Draw, (int(self), *self.seed)


class _LoadSeeded:
    """What PyTorch's loaders call for a batch: the items of ``dataset`` at ``draws``, each under its own seed.

    So an augmentation depends on the seed of the run, the pass over the data and the index: not on which worker does
    it, on what that worker did before, or on how many there are.
    """

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def __call__(self, draws: Sequence[Draw]) -> list[Any]:
        items = []
        for draw in draws:
            set_seed(*draw.seed)
            items.append(self.dataset[int(draw)])
        return items


@DATA_SAMPLERS.register_module()
class DefaultSampler(_DefaultSampler):
    """Sampler for loops by epochs; its indices carry the random state of their augmentation.

    Args:
        dataset: The data set; it gets a ``__getitems__``, by which PyTorch's loaders fetch a batch.
        shuffle: In another order in every epoch.
        seed: The same in all ranks; None: drawn, and shared.
        round_up: Repeat the first images until every rank has equally many.
    """

    def __init__(self, dataset: Sized, shuffle: bool = True, seed: int | None = None, round_up: bool = True) -> None:
        super().__init__(dataset, shuffle, seed, round_up)
        dataset.__getitems__ = _LoadSeeded(dataset)  # type: ignore[attr-defined]

    def __iter__(self) -> Iterator[int]:
        for index in super().__iter__():
            yield Draw(index, self.seed, self.epoch, index)


@DATA_SAMPLERS.register_module()
class InfiniteSampler(_InfiniteSampler):
    """Sampler for loops by iterations; its indices carry the random state of their augmentation.

    Args:
        dataset: The data set; it gets a ``__getitems__``, by which PyTorch's loaders fetch a batch.
        shuffle: In another order in every pass.
        seed: The same in all ranks; None: drawn, and shared.
    """

    def __init__(self, dataset: Sized, shuffle: bool = True, seed: int | None = None) -> None:
        super().__init__(dataset, shuffle, seed)
        dataset.__getitems__ = _LoadSeeded(dataset)  # type: ignore[attr-defined]

    def __iter__(self) -> Iterator[int]:
        current, order = -1, list(range(self.size))
        for place in count(self.rank, self.world_size):
            passed, position = divmod(place, self.size)
            if self.shuffle and passed != current:
                generator = torch.Generator().manual_seed(self.seed + passed)
                current, order = passed, torch.randperm(self.size, generator=generator).tolist()
            yield Draw(order[position], self.seed, passed, order[position])
