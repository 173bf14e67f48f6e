import pytest

from daga_mm.engine import load_config, path_names

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
