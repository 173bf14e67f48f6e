"""The wheel holds what mim looks for, and mim trains from it."""

import importlib.util
import os
import shutil
import subprocess
import sys
import zipfile

import pytest
import yaml

from demo.scenes import write_ade20k

from .conftest import REPOSITORY

CONFIG = 'upernet_daga-vits16_vitadapter_8xb2-160k_ade20k-512x512'


@pytest.fixture(scope='module')
def wheel(tmp_path_factory):
    """The wheel, unpacked: as good as installed for whoever has its folder on the path."""
    folder = tmp_path_factory.mktemp('wheel')
    source = folder / 'source'  # setuptools would leave a build folder behind, and take old files from it
    skipped = shutil.ignore_patterns('.*[!m]', 'data', 'output', 'work_dirs', 'build', '*.egg-info', '__pycache__')
    shutil.copytree(REPOSITORY, source, symlinks=True, ignore=skipped)
    command = [sys.executable, '-m', 'build', '--wheel', '--no-isolation', '--outdir', str(folder), str(source)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    (path,) = folder.glob('*.whl')
    with zipfile.ZipFile(path) as archive:
        archive.extractall(folder / 'installed')
    return folder / 'installed'


def listed(folder, *patterns):
    return {str(p.relative_to(folder)) for pattern in patterns for p in folder.rglob(pattern) if p.is_file()}


def test_the_wheel_holds_configs_and_tools(wheel):
    mim = wheel / 'daga_mm/.mim'
    assert listed(mim / 'configs', '*.py', '*.yml', '*.md') == listed(REPOSITORY / 'configs', '*.py', '*.yml', '*.md')
    assert listed(mim / 'tools', '*.py', '*.sh') == listed(REPOSITORY / 'tools', '*.py', '*.sh')
    assert (mim / 'model-index.yml').read_text() == (REPOSITORY / 'model-index.yml').read_text()
    assert listed(wheel / 'daga_mm', '*.py') >= listed(REPOSITORY / 'daga_mm', '[!.]*.py') - {'.mim'}
    assert not (wheel / 'tests').exists() and not (wheel / 'demo').exists()


def test_the_model_index_lists_every_config_once():
    index = yaml.safe_load((REPOSITORY / 'model-index.yml').read_text())
    models = [model for path in index['Import'] for model in yaml.safe_load((REPOSITORY / path).read_text())['Models']]
    configs = [model['Config'] for model in models]
    existing = {
        str(path.relative_to(REPOSITORY))
        for path in (REPOSITORY / 'configs').rglob('*.py')
        if '_base_' not in path.parts
    }
    assert sorted(configs) == sorted(existing)
    assert [model['Name'] for model in models] == [os.path.basename(path).removesuffix('.py') for path in configs]


def train(command: list[str], folder, **environment) -> str:
    """One iteration of the ADE20K config on synthetic scenes, at a small size; returns what was printed."""
    root = write_ade20k(folder / 'ade20k', 2, 1, size=(64, 64)) / 'ADEChallengeData2016'
    options = [
        'model.backbone.init_cfg=None', 'model.backbone.arch._delete_=True', 'model.backbone.arch.name=dinov3_vits16',
        'model.backbone.arch.embed_dim=48', 'model.backbone.arch.depth=4', 'model.backbone.arch.num_heads=3',
        'model.neck.embed_dims=48', 'model.neck.num_heads=3', 'model.decode_head.in_channels=[48,48,48,48]',
        'model.decode_head.channels=16', 'model.auxiliary_head.in_channels=48', 'model.data_preprocessor.size=(64,64)',
        'train_dataloader.dataset.pipeline.2.ratio_range=(1.0,1.0)', 'train_dataloader.num_workers=0',
        'train_dataloader.dataset.pipeline.2.scale=(64,64)', 'train_dataloader.dataset.pipeline.3.crop_size=(64,64)',
        'train_dataloader.persistent_workers=False', 'train_cfg.max_iters=1', 'train_cfg.val_interval=10',
    ]  # fmt: skip
    result = subprocess.run(
        [sys.executable, *command, '--work-dir', str(folder / 'run'), '--cfg-options', *options],
        capture_output=True, text=True, cwd=folder, env=os.environ | environment | {'ADE20K_ROOT': str(root)},
    )  # fmt: skip
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    assert (folder / 'run/iter_1.pth').is_file()
    return result.stdout


def test_mim_trains_from_the_wheel(wheel, tmp_path):
    out = train(['-m', 'mim', 'train', 'daga_mm', f'{CONFIG}.py'], tmp_path, PYTHONPATH=str(wheel))
    assert str(wheel) in out, 'the config came from elsewhere'


def test_upstreams_own_script_trains_our_config(tmp_path):
    script = importlib.util.find_spec('mmseg').submodule_search_locations[0] + '/.mim/tools/train.py'
    train([script, str(REPOSITORY / f'configs/mmseg/{CONFIG}.py')], tmp_path)
