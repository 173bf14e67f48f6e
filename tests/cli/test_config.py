"""Configs are read as the command line asks for them."""

import os

import pytest
from mmengine.registry import MODELS

from daga_mm.cli.config import load_config, variable_environment, path_names

from ..conftest import REPOSITORY, TINY

CONFIG = REPOSITORY / 'configs/mmseg/upernet_daga-vits16_vitadapter_8xb2-160k_ade20k-512x512.py'


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    for name in (*path_names(), 'trunk'):
        monkeypatch.delenv(name.upper(), raising=False)


def roots(config) -> set[str]:
    return {config[f'{split}_dataloader'].dataset.data_root for split in ('train', 'val', 'test')}


def test_a_path_given_as_an_option_moves_all_that_is_built_on_it():
    options = {'ade20k_root': '/data/ade', 'dinov3_checkpoints': '/weights'}
    config = load_config(CONFIG, options)
    assert roots(config) == {'/data/ade'}
    assert config.model.backbone.init_cfg.checkpoint.startswith('/weights/dinov3_vits16_pretrain')


def test_a_path_given_as_an_option_is_not_there_for_the_next_config(monkeypatch):
    monkeypatch.setenv('COCO_ROOT', '/data/coco')
    before = dict(os.environ)
    load_config(CONFIG, {'ade20k_root': '/data/ade', 'coco_root': '/elsewhere'})
    assert dict(os.environ) == before and roots(load_config(CONFIG)) == {'data/ade/ADEChallengeData2016'}
    with pytest.raises(ZeroDivisionError), variable_environment({'coco_root': '/elsewhere', 'train_cfg.max_iters': 1}):
        assert dict(os.environ) == before | {'COCO_ROOT': '/elsewhere'}
        raise ZeroDivisionError
    assert dict(os.environ) == before


def test_a_path_given_by_the_environment(monkeypatch):
    monkeypatch.setenv('ADE20K_ROOT', '/elsewhere/ade')
    assert roots(load_config(CONFIG)) == {'/elsewhere/ade'}


def test_options_and_work_dir():
    config = load_config(CONFIG, {'train_cfg.max_iters': 7})
    assert config.train_cfg.max_iters == 7 and config.work_dir == f'work_dirs/{CONFIG.stem}'
    assert load_config(CONFIG, work_dir='/tmp/here').work_dir == '/tmp/here'
    with pytest.raises(FileNotFoundError, match=r'no config nowhere\.py'):
        load_config('nowhere.py')


def test_one_dimension_of_an_architecture_is_an_option():
    config = load_config(CONFIG, {'model.backbone.arch.depth': 6, 'model.backbone.arch.embed_dim': 96})
    assert config.model.backbone.arch == dict(name='dinov3_vits16', depth=6, embed_dim=96)
    config = load_config(CONFIG, {'model.backbone.arch.depth': 6, 'model.backbone.arch.name': 'dinov3_vitb16'})
    assert config.model.backbone.arch == dict(name='dinov3_vitb16', depth=6)
    with pytest.raises(ValueError, match='--cfg-options do not fit .*scope'):
        load_config(CONFIG, {'default_scope.arch.depth': 6})
