import pytest

from daga_mm.cli.config import load_config, path_names
from daga_mm.cli.data import require_data

from ..conftest import REPOSITORY

CONFIG = REPOSITORY / 'configs/mmseg/upernet_daga-vits16_vitadapter_8xb2-160k_ade20k-512x512.py'


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    for name in path_names():
        monkeypatch.setenv(name.upper(), 'to be removed again after the test')
        monkeypatch.delenv(name.upper())


def roots(config) -> set[str]:
    return {config[f'{split}_dataloader'].dataset.data_root for split in ('train', 'val', 'test')}


def test_a_path_given_as_an_option_moves_all_that_is_built_on_it():
    options = {'ade20k_root': '/data/ade', 'dinov3_checkpoints': '/weights'}
    config = load_config(CONFIG, options)
    assert roots(config) == {'/data/ade'}
    assert config.model.backbone.init_cfg.checkpoint.startswith('/weights/dinov3_vits16_pretrain')


def test_a_path_given_by_the_environment(monkeypatch):
    monkeypatch.setenv('ADE20K_ROOT', '/elsewhere/ade')
    assert roots(load_config(CONFIG)) == {'/elsewhere/ade'}


def test_options_and_work_dir():
    config = load_config(CONFIG, {'train_cfg.max_iters': 7})
    assert config.train_cfg.max_iters == 7 and config.work_dir == f'work_dirs/{CONFIG.stem}'
    assert load_config(CONFIG, work_dir='/tmp/here').work_dir == '/tmp/here'
    with pytest.raises(FileNotFoundError, match=r'no config nowhere\.py'):
        load_config('nowhere.py')


CIFAR10 = REPOSITORY / 'configs/mmpretrain/image-classifier_daga-vits16_linear_8xb128-20e_cifar10.py'
KNN = REPOSITORY / 'configs/mmpretrain/knn_daga-vits16_cifar10.py'


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
    with pytest.raises(FileNotFoundError, match='no data set at /nowhere: --cfg-options cifar10_root=PATH or CIFAR10'):
        require_data(load_config(config, options), 'test')


def test_a_folder_below_a_path_has_its_cure_too(tmp_path):
    config = load_config(REPOSITORY / 'configs/mmpretrain/knn_daga-vits16_in1k.py', {'imagenet_root': tmp_path})
    with pytest.raises(FileNotFoundError, match=f'no data set at {tmp_path}/val: --cfg-options imagenet_root=PATH'):
        require_data(config, 'test')


def test_class_folders_that_do_not_fit_are_named(cifar10):
    options = {'cifar10_root': cifar10}
    (cifar10 / 'train/class3/0.png').unlink()
    with pytest.raises(FileNotFoundError, match='train has classes without an image: class3'):
        require_data(load_config(CIFAR10, options), 'train')
    with pytest.raises(FileNotFoundError, match='train has classes without an image: class3'):
        require_data(load_config(KNN, options), 'test')
    with pytest.raises(ValueError, match='test has 10 classes, the model 9: set its num_classes'):
        require_data(load_config(CIFAR10, options | {'model.head.num_classes': 9}), 'test')
    with pytest.raises(FileNotFoundError, match='no class folders in .*/train'):
        require_data(load_config(CIFAR10, {'cifar10_root': cifar10 / 'test'}), 'train')
