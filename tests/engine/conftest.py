"""What runs of every task read: synthetic data, and a small trunk with DAGA modules."""

from pathlib import Path

import pytest
import torch

from ..small_runs import small_config, write_data


@pytest.fixture(scope='session')
def weights(tiny, tmp_path_factory) -> Path:
    """A checkpoint with a small trunk and DAGA modules that do something."""
    backbone = tiny(out_indices=(-1,), out_type='cls_avg')
    path = tmp_path_factory.mktemp('weights') / 'daga.pth'
    torch.save({'state_dict': {f'backbone.{key}': value for key, value in backbone.state_dict().items()}}, path)
    return path


@pytest.fixture(scope='session')
def prepare(weights, tmp_path_factory):
    """A function that writes a task's data and gives its small config, with a work dir of its own."""

    def prepare(task: str):
        folder = tmp_path_factory.mktemp(task)
        return small_config(task, write_data(task, folder / 'data'), weights, folder / 'run')

    return prepare
