"""Training, saving, resuming and testing through mmengine's Runner, on synthetic scenes in ADE20K's layout."""

import itertools
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

import daga_mm.engine
from daga_mm.backbones import DAGAViT
from daga_mm.cli.config import load_config
from demo.scenes import write_ade20k

from .configs.shrink import shrink
from .conftest import REPOSITORY, write_trunk
from .tools.conftest import run_script

CONFIG = REPOSITORY / 'configs/mmseg/upernet_daga-vits16_vitadapter_8xb2-160k_ade20k-512x512.py'
SIZE = (64, 64)
NUMBERS = itertools.count()


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    return write_ade20k(tmp_path_factory.mktemp('scenes') / 'ade20k', 4, 2, seed=3, size=(96, 72))


@pytest.fixture(scope='module')
def trunk(tmp_path_factory):
    """A file with the trunk's weights, as timm publishes them."""
    return write_trunk(tmp_path_factory.mktemp('weights') / 'trunk.safetensors')


@pytest.fixture(scope='module')
def config(scenes, trunk, tmp_path_factory):
    """A function that gives the config of a run, small and short."""

    def make(**options) -> Config:
        config = load_config(
            CONFIG,
            {
                'train_cfg': dict(max_iters=4, val_interval=4),
                'train_dataloader': dict(num_workers=0, persistent_workers=False),
                'val_dataloader': dict(num_workers=0, persistent_workers=False),
                'test_dataloader': dict(num_workers=0, persistent_workers=False),
                'default_hooks.checkpoint': dict(interval=2, max_keep_ckpts=3),
                'param_scheduler': [dict(type='PolyLR', power=1.0, by_epoch=False, end=4)],
                'model.data_preprocessor.size': SIZE,
                'model.test_cfg': dict(crop_size=SIZE, stride=(43, 43)),
                'randomness': dict(seed=0),
                'log_level': 'WARNING',
            },
            work_dir=str(tmp_path_factory.mktemp('run')),
        )
        for loader in (config.train_dataloader, config.val_dataloader, config.test_dataloader):
            loader.dataset.data_root = str(scenes / 'ADEChallengeData2016')
            loader.dataset.pipeline[1 if loader is not config.train_dataloader else 2].scale = (256, 64)
        config.train_dataloader.dataset.pipeline[3].crop_size = SIZE
        config.optim_wrapper.optimizer.lr = 1e-2
        shrink(config, trunk)
        # mmengine keeps visualizers by name for the life of the process, with the folder of the first run.
        config.visualizer.name = f'visualizer_{next(NUMBERS)}'
        config.merge_from_dict(options)
        return config

    return make


def features(runner: Runner) -> list[torch.Tensor]:
    images = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(5))
    runner.model.eval()
    with torch.no_grad():
        return list(runner.model.backbone(images)[1:])


def same(a: list[torch.Tensor], b: list[torch.Tensor]) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.fixture(scope='module')
def trained(config):
    """A finished run: its runner, its features and its last checkpoint."""
    runner = Runner.from_cfg(config())
    runner.train()
    return runner, features(runner), f'{runner.work_dir}/iter_4.pth'


def with_trunk(runner: Runner, path: str) -> str:
    """The same checkpoint with the trunk in it, as ``trained_only=False`` has it."""
    checkpoint = torch.load(path, weights_only=True)
    checkpoint['state_dict'] = runner.model.state_dict()
    torch.save(checkpoint, path.replace('.pth', '_whole.pth'))
    return path.replace('.pth', '_whole.pth')


def test_a_test_without_a_checkpoint_refuses_to_run(config):
    with pytest.raises(RuntimeError, match='init_cfg .*trunk.safetensors'):
        Runner.from_cfg(config()).test()


def test_a_test_runs_on_the_trained_weights_and_says_whose_they_are(config, trained):
    runner, expected, path = trained
    fingerprints = runner.model.backbone.fingerprints()
    assert torch.load(path, weights_only=True)['meta']['fingerprints'] == fingerprints
    lines = [json.loads(line) for file in runner_files(runner, 'scalars.json') for line in file.open()]
    assert [{k: line[k] for k in fingerprints} for line in lines if 'trunk' in line] == [fingerprints]
    for checkpoint in (path, with_trunk(runner, path)):
        tester = Runner.from_cfg(config(load_from=checkpoint))
        metrics = tester.test()
        assert same(features(tester), expected), checkpoint
        (file,) = runner_files(tester, f'{tester.timestamp}.json')
        written = json.loads(file.read_text())
        assert {k: written[k] for k in fingerprints} == fingerprints and written['mIoU'] == metrics['mIoU']


def runner_files(runner, pattern):
    return sorted(Path(runner.log_dir).rglob(pattern))


def test_resuming_goes_on_where_it_stopped(config, trained):
    half = trained[2].replace('iter_4', 'iter_2')
    again = Runner.from_cfg(config(resume=True, load_from=half))
    again.train()
    assert again.iter == 4
    state = torch.load(half, weights_only=True)
    after = again.model.state_dict()
    moved = [name for name, value in state['state_dict'].items() if not torch.equal(value, after.get(name, value))]
    assert any('.adapters.' in name for name in moved) and not any('.trunk.' in name for name in state['state_dict'])
    assert again.model.backbone.fingerprints() == trained[0].model.backbone.fingerprints()


def test_frozen_stays_frozen_and_daga_moves_the_features(config, trained, tiny):
    runner, expected, _ = trained
    weights = runner.model.backbone.trunk.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in tiny().trunk.state_dict().items())
    plain = Runner.from_cfg(config(**{'model.backbone.adapter': None}))
    plain.model.init_weights()
    assert not same(features(plain), expected)


def test_inferencers_load_either_kind_of_checkpoint(config, trained):
    from mmseg.apis import inference_model, init_model

    runner, _, path = trained
    image = (torch.rand(72, 96, 3, generator=torch.Generator().manual_seed(6)) * 255).byte().numpy()
    for checkpoint in (path, with_trunk(runner, path)):
        small = config()
        small.test_pipeline[1].scale = (96, 72)  # mmseg's inference takes this one, and its windows are of 64 pixels
        model = init_model(small, checkpoint, device='cpu')
        assert model.backbone.fingerprints() == runner.model.backbone.fingerprints()
        assert inference_model(model, image).pred_sem_seg.shape == (72, 96)


def test_a_checkpoint_of_another_trunk_is_refused(config, trained):
    whole = with_trunk(trained[0], trained[2])
    for checkpoint, message in (
        (whole, r'(?s)trunk in the checkpoint is not.*missing \(\d+\): model.blocks.4'),
        (trained[2], r'(?s)trunk.safetensors does not fit the trunk.*missing \(\d+\): blocks.4'),
    ):
        other = config(load_from=checkpoint)
        other.model.backbone.arch.depth = 5
        other.model.backbone.init_cfg = None
        with pytest.raises(ValueError, match=message):
            Runner.from_cfg(other).test()


def test_infer_draws_every_picture_of_a_folder(trained, tmp_path):
    runner, _, checkpoint = trained
    (config,) = Path(runner.work_dir).glob('*.py')
    images = tmp_path / 'images'
    images.mkdir()
    for name in ('a.png', 'b.jpg'):
        cv2.imwrite(str(images / name), np.full((48, 64, 3), 128, np.uint8))
    (images / 'notes.txt').touch()
    options = [
        '--out',
        tmp_path / 'out',
        '--device',
        'cpu',
        '--cfg-options',
        'test_dataloader.dataset.pipeline.1.scale=(64,64)',
    ]
    result = run_script('tools/infer.py', images, config, checkpoint, *options)
    assert result.returncode == 0, result.stderr[-2000:]
    assert '2 pictures in' in result.stdout
    drawn = {path.name: cv2.imread(str(path)) for path in (tmp_path / 'out/vis').iterdir()}
    assert set(drawn) == {'a.png', 'b.png'}
    assert all(picture.shape == (48, 64, 3) and picture.std() > 1 for picture in drawn.values())


def test_the_rate_that_is_logged_is_scaled_too(config):
    small = config(**{'auto_scale_lr.enable': True, 'train_dataloader.batch_size': 4})
    runner = daga_mm.engine.Runner.from_cfg(small)
    wrapper = runner.build_optim_wrapper(small.optim_wrapper)
    runner.scale_lr(wrapper, small.auto_scale_lr)
    assert {group['lr'] for group in wrapper.param_groups} == {1e-2 * 4 / 16} and len(wrapper.param_groups) > 1
    assert wrapper.base_param_settings['lr'] == 1e-2 * 4 / 16


def test_test_time_augmentation_asks_for_every_scale_and_flip(trained, tmp_path, monkeypatch):
    runner, _, checkpoint = trained
    (config,) = Path(runner.work_dir).glob('*.py')
    seen = []
    forward = DAGAViT.forward
    monkeypatch.setattr(DAGAViT, 'forward', lambda self, images: seen.append(images) or forward(self, images))
    result = run_script('tools/test.py', config, checkpoint, '--tta', '--work-dir', tmp_path, '--cfg-options',
                        'model.test_cfg.mode=whole', 'visualizer.name=tta')  # fmt: skip
    assert result.returncode == 0, result.stderr[-2000:]
    (file,) = tmp_path.glob('*/*.json')
    assert {'mIoU', 'trunk'} <= json.loads(file.read_text()).keys()
    ratios = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)  # mmseg's, of images of 96×72 pixels
    assert {tuple(images.shape[-2:]) for images in seen} == {(round(72 * r), round(96 * r)) for r in ratios}
    assert len(seen) == 2 * 2 * len(ratios)
    plain, flipped = seen[:2]
    assert torch.equal(plain.flip(-1), flipped)


def test_averaged_weights_are_saved_without_the_trunk_and_resumed(config):
    """mmengine's EMAHook saves the averaged weights as the model's, and what is trained beside them."""
    hooks = [*config().custom_hooks, dict(type='EMAHook', momentum=0.3)]
    runner = Runner.from_cfg(config(custom_hooks=hooks))
    runner.train()
    again = Runner.from_cfg(config(custom_hooks=hooks, resume=True, load_from=f'{runner.work_dir}/iter_2.pth'))
    again.train()
    one, other = (torch.load(f'{run.work_dir}/iter_4.pth', weights_only=True) for run in (runner, again))
    for part in ('state_dict', 'ema_state_dict'):
        assert not any('.trunk.' in key for key in one[part])
        assert one[part].keys() == other[part].keys() and same(list(one[part].values()), list(other[part].values()))
    backbone = runner.model.backbone
    averaged, current = backbone.fingerprints(one['state_dict'], 'backbone.'), backbone.fingerprints()
    assert one['meta']['fingerprints'] == {'trunk': current['trunk'], 'adapters': averaged['adapters']}
    assert averaged['adapters'] != current['adapters']
