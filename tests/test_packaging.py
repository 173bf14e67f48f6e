"""The wheel holds what mim looks for, and mim trains from it."""

import importlib.util
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

from demo.scenes import write_ade20k

from . import commands
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
    assert (wheel / 'daga_mm/visualization/report.html').is_file()
    assert not any((wheel / name).exists() for name in ('tests', 'demo', 'benchmarks'))


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


def tiny_options() -> list[str]:
    """What makes the ADE20K config a run of one iteration at a small size."""
    return [
        'model.backbone.init_cfg=None', 'model.backbone.arch._delete_=True', 'model.backbone.arch.name=dinov3_vits16',
        'model.backbone.arch.embed_dim=48', 'model.backbone.arch.depth=4', 'model.backbone.arch.num_heads=3',
        'model.neck.embed_dims=48', 'model.neck.num_heads=3', 'model.decode_head.in_channels=[48,48,48,48]',
        'model.decode_head.channels=16', 'model.auxiliary_head.in_channels=48', 'model.data_preprocessor.size=(64,64)',
        'train_dataloader.dataset.pipeline.2.ratio_range=(1.0,1.0)', 'train_dataloader.num_workers=0',
        'train_dataloader.dataset.pipeline.2.scale=(64,64)', 'train_dataloader.dataset.pipeline.3.crop_size=(64,64)',
        'train_dataloader.persistent_workers=False', 'train_cfg.max_iters=1', 'train_cfg.val_interval=10',
        'test_dataloader.num_workers=0', 'test_dataloader.persistent_workers=False',
        'test_dataloader.dataset.pipeline.1.scale=(64,64)', 'model.test_cfg.mode=whole',
    ]  # fmt: skip


def run(command: list[str], folder, **environment) -> str:
    """What Python prints for a command in a folder, with the scenes there as ADE20K."""
    root = folder / 'ade20k/ADEChallengeData2016'
    return commands.run(sys.executable, *command, cwd=folder, ADE20K_ROOT=root, **environment)


def train(command: list[str], folder, **environment) -> str:
    """One iteration on synthetic scenes; returns what was printed."""
    write_ade20k(folder / 'ade20k', 2, 1, size=(64, 64))
    options = ['--work-dir', str(folder / 'run'), '--cfg-options', *tiny_options()]
    output = run([*command, *options], folder, **environment)
    assert (folder / 'run/iter_1.pth').is_file()
    return output


@pytest.fixture(scope='module')
def clone(tmp_path_factory):
    """A clone as it lies there after an editable install: with the egg-info by which mim finds it on PYTHONPATH."""
    folder = tmp_path_factory.mktemp('clone')
    for path in REPOSITORY.iterdir():
        if not path.name.startswith('.') and path.suffix != '.egg-info' and path.name not in ('build', 'work_dirs'):
            (folder / path.name).symlink_to(path)
    run(['-W', 'ignore', '-c', 'import setuptools; setuptools.setup()', '--quiet', 'egg_info'], folder)
    return folder


@pytest.mark.parametrize('place', ['clone', pytest.param('wheel', marks=pytest.mark.slow)])
def test_mim_runs_and_searches(place, request, tmp_path):
    where = {'PYTHONPATH': str(request.getfixturevalue(place)), 'COLUMNS': '300'}
    assert f'{CONFIG}.py' in run(
        ['-m', 'mim', 'run', 'daga_mm', 'list_configs', '--task', 'segmentation'], tmp_path, **where
    )
    found = run(['-m', 'mim', 'search', 'daga_mm', '--config', CONFIG, '--display-width', '300'], tmp_path, **where)
    assert CONFIG in found and '55801056' in found, 'the parameters of its metafile'


@pytest.mark.slow
@pytest.mark.parametrize('place', ['clone', 'wheel'])
def test_mim_trains_tests_and_searches_the_grid(place, request, tmp_path):
    where = {'PYTHONPATH': str(request.getfixturevalue(place))}
    train(['-m', 'mim', 'train', 'daga_mm', f'{CONFIG}.py'], tmp_path, **where)
    options = ['--cfg-options', *tiny_options()]
    command = ['-m', 'mim', 'test', 'daga_mm', f'{CONFIG}.py', '--checkpoint', str(tmp_path / 'run/iter_1.pth')]
    assert 'mIoU' in run([*command, '--work-dir', str(tmp_path / 'test'), *options], tmp_path, **where)
    command = ['-m', 'mim', 'gridsearch', 'daga_mm', f'{CONFIG}.py', '--gpus', '0', '--yes', '--search-args']
    grid = '--optim_wrapper.optimizer.lr 1e-3 1e-4'
    run([*command, grid, '--work-dir', str(tmp_path / 'grid'), *options], tmp_path, **where)
    assert len(list(tmp_path.glob('grid_search_optim_wrapper.optimizer.lr_*/iter_1.pth'))) == 2


@pytest.mark.slow
def test_mim_starts_two_processes(clone, tmp_path):
    out = train(
        ['-m', 'mim', 'train', 'daga_mm', f'{CONFIG}.py', '--launcher', 'pytorch', '--gpus', '2'],
        tmp_path,
        PYTHONPATH=str(clone),
    )
    assert 'Distributed launcher: pytorch' in out and 'GPU number: 2' in out


def test_a_config_goes_by_its_name_from_the_wheel(wheel, tmp_path):
    code = f'from daga_mm.cli.config import find_config; print(find_config("{CONFIG}"))'
    assert run(['-c', code], tmp_path, PYTHONPATH=str(wheel)).strip() == (
        f'{wheel}/daga_mm/.mim/configs/mmseg/{CONFIG}.py'
    )


def test_mim_trains_from_the_wheel(wheel, tmp_path):
    out = train(['-m', 'mim', 'train', 'daga_mm', f'{CONFIG}.py'], tmp_path, PYTHONPATH=str(wheel))
    assert str(wheel) in out, 'the config came from elsewhere'


def test_an_own_config_inherits_from_the_wheel(wheel, tmp_path):
    """The first line of the configs in docs/own_data.md."""
    (tmp_path / 'own.py').write_text(f"_base_ = __import__('daga_mm').config_path('mmseg/{CONFIG}.py')")
    code = 'from daga_mm.cli.config import load_config; print(load_config("own.py").model.backbone.type)'
    assert run(['-c', code], tmp_path, PYTHONPATH=str(wheel)).split()[-1] == 'daga_mm.DAGAViT'


@pytest.mark.slow
@pytest.mark.parametrize('place', ['clone', 'wheel'])
def test_mim_trains_an_own_config(place, request, tmp_path):
    (tmp_path / 'own.py').write_text(f"_base_ = __import__('daga_mm').config_path('mmseg/{CONFIG}.py')")
    where = {'PYTHONPATH': str(request.getfixturevalue(place))}
    train(['-m', 'mim', 'train', 'daga_mm', 'own.py'], tmp_path, **where)
    command = ['-m', 'mim', 'train', 'daga_mm', 'own.py', '--dry-run', '--work-dir', str(tmp_path / 'dry')]
    assert 'memory' in run([*command, '--cfg-options', *tiny_options()], tmp_path, **where).lower()


def test_upstreams_own_scripts_train_and_test_our_config(tmp_path):
    tools = Path(importlib.util.find_spec('mmseg').submodule_search_locations[0], '.mim/tools')
    config = str(REPOSITORY / f'configs/mmseg/{CONFIG}.py')
    train([str(tools / 'train.py'), config], tmp_path)
    arguments = [config, str(tmp_path / 'run/iter_1.pth'), '--work-dir', str(tmp_path / 'test')]
    assert 'mIoU' in run([str(tools / 'test.py'), *arguments, '--cfg-options', *tiny_options()], tmp_path)
