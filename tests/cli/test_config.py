"""Configs are read as the command line asks for them."""

import os
import sys

import pytest
from mmengine.config import Config

from daga_mm.cli.config import load_config, path_defaults, path_names, variable_environment

from ..conftest import REPOSITORY

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


def test_paths_are_by_default_where_the_one_file_says():
    config = Config.fromfile(REPOSITORY / 'configs/_base_/paths.py')
    assert path_defaults() == config.to_dict()


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
    with pytest.raises(ValueError, match='options do not fit .*scope'):
        load_config(CONFIG, {'default_scope.arch.depth': 6})


FULL = REPOSITORY / 'configs/mmseg/upernet_full-vitb16_vitadapter_8xb2-160k_ade20k-512x512.py'


@pytest.mark.parametrize('path', [CONFIG, FULL], ids=['of S', 'of B, full'])
def test_a_trunk_by_its_name_changes_all_that_depends_on_its_size(path, monkeypatch):
    config = load_config(path, {'trunk': 'vitl16', 'dinov3_checkpoints': '/weights'})
    model = config.model
    assert model.backbone.arch == (
        'dinov3_vitl16' if path == CONFIG else dict(name='dinov3_vitl16', drop_path_rate=0.4)
    )
    assert model.backbone.init_cfg.checkpoint == '/weights/dinov3_vitl16_pretrain_lvd1689m-8aa4cbdd.pth'
    assert model.neck.embed_dims == model.auxiliary_head.in_channels == 1024
    assert model.decode_head.in_channels == [1024, 1024, 1024, 1024]
    assert config.optim_wrapper.optimizer.lr == (6e-5 if path == CONFIG else 2e-5)
    assert config.work_dir == f'work_dirs/{path.stem}_vitl16'
    monkeypatch.setenv('TRUNK', 'vitl16')
    assert load_config(path, {'dinov3_checkpoints': '/weights'}).to_dict() == config.to_dict()


def test_a_trunk_that_cannot_be_meant_is_refused():
    with pytest.raises(ValueError, match="'vitb'.*vits16, vits16plus, vitb16, vitl16"):
        load_config(CONFIG, {'trunk': 'vitb'})
    with pytest.raises(ValueError, match=r'trunk=vitb16 .*model\.backbone\.arch'):
        load_config(REPOSITORY / 'demo/upernet_scenes.py', {'trunk': 'vitb16'})


ADAPTER = 'model.backbone.adapter'


@pytest.mark.parametrize(
    ('options', 'adapter', 'ending'),
    [
        ({ADAPTER: 'lora'}, 'lora', '_lora'),
        ({ADAPTER: None}, None, '_frozen'),
        ({ADAPTER: ['daga', 'lora']}, ['daga', 'lora'], '_daga-lora'),
        ({f'{ADAPTER}.gate': 'heads'}, dict(type='daga', gate='heads'), ''),
        ({f'{ADAPTER}.rank': 4, ADAPTER: 'lora', f'{ADAPTER}.alpha': 8}, dict(type='lora', rank=4, alpha=8), '_lora'),
        ({ADAPTER: 'lora', 'trunk': 'vitb16'}, 'lora', '_vitb16_lora'),
    ],
    ids=str,
)
def test_an_option_chooses_the_adapter_and_its_options(options, adapter, ending):
    config = load_config(CONFIG, options)
    assert config.model.backbone.adapter == adapter
    assert config.work_dir == f'work_dirs/{CONFIG.stem}{ending}'


def test_a_name_in_the_place_of_options_leaves_none_of_them(tmp_path):
    own = tmp_path / 'own.py'
    own.write_text(
        f"_base_ = '{CONFIG}'\nmodel = dict(backbone=dict(adapter=dict(_delete_=True, type='DAGA', layers=(2, 5))))"
    )
    assert load_config(own, {f'{ADAPTER}.gate': 'heads'}).model.backbone.adapter == dict(
        type='DAGA', layers=(2, 5), gate='heads'
    )
    lora = load_config(own, {ADAPTER: 'lora', f'{ADAPTER}.rank': 4})
    assert lora.model.backbone.adapter == dict(type='lora', rank=4)


def test_options_of_an_adapter_that_is_not_there_are_refused():
    frozen = REPOSITORY / 'configs/mmseg/fcn_frozen-vitb16_linear_8xb2-40k_ade20k-512x512.py'
    with pytest.raises(ValueError, match=r'adapter\.rank.*model\.backbone\.adapter=NAME'):
        load_config(frozen, {f'{ADAPTER}.rank': 4})


def test_a_trunk_with_other_patches_changes_what_depends_on_them():
    config = load_config(CONFIG, {'trunk': 'vits14'})
    assert (config.model.backbone.arch, config.model.neck.patch_size) == ('vit_small_patch14_dinov2', 14)
    detector = REPOSITORY / 'configs/mmdet/mask-rcnn_daga-vits16_simplefpn_8xb8-lsj-100e_coco.py'
    with pytest.raises(ValueError, match='SimpleFPN .* 16 pixels'):
        load_config(detector, {'trunk': 'vits14'})


@pytest.mark.parametrize('absent', ['mmdet', 'mmsegmentation'])
def test_a_config_that_needs_an_absent_package_says_which(absent, monkeypatch):
    """mmseg's Mask2Former is mmdet's head: of either the config has need."""
    path = REPOSITORY / 'configs/mmseg/mask2former_daga-vits16_vitadapter_8xb2-160k_ade20k-640x640.py'
    if absent == 'mmdet':  # which it imports
        for module in [name for name in sys.modules if name.partition('.')[0] == 'mmdet']:
            monkeypatch.delitem(sys.modules, module)
        monkeypatch.setitem(sys.modules, 'mmdet', None)
    else:  # from which it inherits
        monkeypatch.setattr('mmengine.config.config.is_installed', lambda package: package != absent)
    extra = {'mmdet': 'det', 'mmsegmentation': 'seg'}[absent]
    with pytest.raises(ValueError, match=rf"{path.name} needs {absent}, .* pip install 'daga_mm\[{extra}\]'"):
        load_config(path)
