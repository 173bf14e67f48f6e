"""Data sets are checked before a run."""

import pytest

from daga_mm.cli.config import load_config
from daga_mm.cli.data import require_data

from ..conftest import REPOSITORY

CIFAR10 = REPOSITORY / 'configs/mmpretrain/image-classifier_daga-vits16_linear_8xb128-30e_cifar10.py'
KNN = REPOSITORY / 'configs/mmpretrain/knn_cifar10.py'


@pytest.fixture
def cifar10(tmp_path):
    """Ten class folders of one file each, for training and test."""
    for split in ('train', 'test'):
        for label in range(10):
            (tmp_path / split / f'class{label}').mkdir(parents=True)
            (tmp_path / split / f'class{label}/0.png').touch()
    return tmp_path


def test_data_that_is_there_passes(cifar10):
    for config in (CIFAR10, KNN):
        require_data(load_config(config, {'cifar10_root': cifar10}), 'test')
    require_data(load_config(CIFAR10, {'cifar10_root': cifar10}), 'train', 'val')


@pytest.mark.parametrize('config', [CIFAR10, KNN], ids=['training', 'probe'])
def test_absent_data_are_named_with_the_cure(config):
    options = {'cifar10_root': '/nowhere'}
    with pytest.raises(FileNotFoundError, match='/nowhere: .*cifar10_root=PATH or CIFAR10'):
        require_data(load_config(config, options), 'test')


def test_a_folder_below_a_path_has_its_cure_too(tmp_path):
    config = load_config(REPOSITORY / 'configs/mmpretrain/knn_in1k.py', {'imagenet_root': tmp_path})
    with pytest.raises(FileNotFoundError, match=f'{tmp_path}/val: .*imagenet_root=PATH'):
        require_data(config, 'test')
