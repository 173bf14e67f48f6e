"""The hook in a run: its pictures and curves, and that the run is the same without it."""

import itertools
import json
from copy import deepcopy
from pathlib import Path

import cv2
import pytest
import torch
from mmengine.runner import Runner

from daga_mm.cli.config import load_config
from daga_mm.visualization import AttentionVisHook, attention_vis_hook, read_run
from demo.scenes import write_ade20k

from ..configs.shrink import shrink
from ..conftest import REPOSITORY

CONFIG = REPOSITORY / 'configs/mmseg/fcn_daga-vits16_linear_8xb2-40k_ade20k-512x512.py'
NUMBERS = itertools.count()


@pytest.fixture(scope='module')
def make_runner(tmp_path_factory):
    """A function that gives the runner of four iterations on synthetic scenes, with the hook's settings."""
    root = write_ade20k(tmp_path_factory.mktemp('scenes') / 'ade20k', 4, 2, seed=3, size=(80, 64))

    def make(hook: dict | None, **options) -> Runner:
        loading = dict(num_workers=0, persistent_workers=False)
        config = load_config(
            CONFIG,
            {
                'train_cfg': dict(max_iters=4, val_interval=10),
                'train_dataloader': loading,
                'val_dataloader': loading,
                'model.data_preprocessor.size': (64, 64),
                'model.test_cfg': dict(crop_size=(64, 64), stride=(43, 43)),
                'default_hooks.checkpoint.interval': 100,
                'default_hooks.logger.interval': 2,
                'randomness': dict(seed=0, deterministic=True),
                'log_level': 'ERROR',
                'optim_wrapper.optimizer.lr': 1e-2,
                'param_scheduler': [],
            },
            work_dir=str(tmp_path_factory.mktemp('run')),
        )
        for loader in (config.train_dataloader, config.val_dataloader):
            loader.dataset.data_root = str(root / 'ADEChallengeData2016')
        config.train_dataloader.dataset.pipeline[2].scale = (256, 64)
        config.train_dataloader.dataset.pipeline[3].crop_size = (64, 64)
        config.val_dataloader.dataset.pipeline[1].scale = (256, 64)
        shrink(config)
        config.visualizer.name = f'attention {next(NUMBERS)}'  # mmengine keeps visualizers by name
        if hook is not None:
            config.custom_hooks.append(dict(type='daga_mm.AttentionVisHook', **hook))
        config.merge_from_dict(options)
        return Runner.from_cfg(config)

    return make


SETTINGS = dict(images=(1,), interval=4, log_interval=2)
EPOCHS = {
    'train_cfg': dict(_delete_=True, type='EpochBasedTrainLoop', max_epochs=2, val_interval=2),
    'train_dataloader.sampler': dict(type='DefaultSampler', shuffle=True),  # the other one never ends
}


@pytest.fixture(scope='module')
def watched(make_runner):
    runner = make_runner(SETTINGS)
    runner.train()
    return runner


def curves(runner: Runner) -> list[dict]:
    (file,) = Path(runner.log_dir).rglob('scalars.json')
    lines = [json.loads(line) for line in file.open()]
    return [line for line in lines if any(key.startswith('adapters/') for key in line)]


def test_pictures_and_curves_are_there(watched):
    pictures = {path.name: cv2.imread(str(path)) for path in Path(watched.log_dir).rglob('vis_image/*')}
    assert set(pictures) == {'attention_1_4.png', 'features_1_4.png', 'gates_4.png'}
    assert all(picture.std() > 10 for picture in pictures.values())
    points = curves(watched)
    assert [point['step'] for point in points] == [2, 4]
    names = {f'adapters/daga/{name}/{layer}' for name in ('mixing', 'norm', 'update') for layer in (1, 2, 3)}
    assert all(set(point) == names | {'adapters/daga/grad_norm/all', 'step'} for point in points)
    last, backbone = points[-1], watched.model.backbone
    assert last['adapters/daga/grad_norm/all'] > 0
    assert points[0]['adapters/daga/update/1'] < last['adapters/daga/update/1']  # it has left the identity, and goes on
    bottleneck = backbone.adapters['daga'].bottlenecks['1']
    assert last['adapters/daga/mixing/1'] == pytest.approx(bottleneck.mixing.item(), abs=0.02)
    assert last['adapters/daga/norm/1'] == pytest.approx(bottleneck.up.weight.norm().item(), rel=0.1)


def test_the_report_reads_what_the_runner_writes(watched):
    run = read_run(watched.work_dir)
    assert run.method == 'daga' and set(run.adapters) == {
        f'daga/{name}' for name in ('mixing', 'norm', 'update', 'grad_norm')
    }
    assert set(run.pictures) == {'attention_1', 'features_1', 'gates'}
    assert [step for step, _ in run.training['loss']] == [2, 4] and run.seconds > 0


def test_other_processes_draw_nothing_and_run_the_same(watched, make_runner, monkeypatch):
    """Were the main process's numbers others, they would drift apart."""
    monkeypatch.setattr(attention_vis_hook, 'is_main_process', lambda: False)
    other = make_runner(SETTINGS)
    other.train()
    assert curves(other) == [] and not list(Path(other.log_dir).rglob('vis_image/*'))
    state = other.model.state_dict()
    assert all(torch.equal(value, state[key]) for key, value in watched.model.state_dict().items())
    assert watched.model.backbone._record is None


@pytest.mark.parametrize(
    ('hook', 'options', 'steps'),
    [
        ({}, {'train_cfg.val_interval': 3}, {3, 4}),  # each validation, the one at the end too
        (dict(interval=1), {}, {1, 2, 3, 4}),
        ({}, EPOCHS, {4}),  # two epochs of two iterations
        (dict(interval=1), EPOCHS, {2, 4}),
        (dict(interval=3, by_epoch=False), EPOCHS, {3}),
    ],
)
def test_pictures_go_by_validations_or_by_what_the_run_counts(make_runner, hook, options, steps):
    runner = make_runner(dict(images=(0,)) | hook, **deepcopy(options))  # merging takes _delete_ out
    runner.train()
    drawn = [path.stem for path in Path(runner.log_dir).rglob('vis_image/gates_*')]
    assert {int(name.removeprefix('gates_')) for name in drawn} == steps and len(drawn) == len(steps)


def test_what_can_not_be_drawn_is_said_before_the_run(make_runner):
    runner = make_runner(None)
    for settings, message in (
        (dict(images=(0, 2)), r'images \[2\] of a validation set of 2'),
        (dict(images=(), interval=1, by_epoch=True), 'this run counts iterations: leave by_epoch out'),
        (dict(block=4), 'block 4, and dinov3_vits16 runs blocks 0 to 3'),
    ):
        with pytest.raises(ValueError, match=message):
            AttentionVisHook(**settings).before_train(runner)
    runner._val_loop = None
    with pytest.raises(ValueError, match='needs a val_dataloader'):
        AttentionVisHook().before_train(runner)
    AttentionVisHook(images=()).before_train(runner)  # curves alone
    runner.model.backbone = torch.nn.Identity()
    with pytest.raises(ValueError, match='this model has none'):
        AttentionVisHook().before_train(runner)
