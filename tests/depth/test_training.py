"""Depth models train, evaluate and resume through mmengine's Runner, on synthetic scenes in NYU's layout."""

import itertools
import math
from pathlib import Path

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.optim.scheduler import CosineAnnealingLR, LinearLR
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import Runner

from demo.scenes import write_nyu

from .conftest import read_config

SIZE = (72, 96)
NUMBERS = itertools.count()


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    return write_nyu(tmp_path_factory.mktemp('scenes') / 'nyu', 4, 2, seed=3, size=SIZE[::-1])


@pytest.fixture
def runner(scenes, tmp_path, monkeypatch):
    """A function that gives the runner of a small, short run of a config of this head."""
    monkeypatch.setenv('NYU_ROOT', str(scenes))

    def make(head: str, **options) -> Runner:
        config = read_config(head, **{'model.data_preprocessor.size': SIZE})
        for loader in (config.train_dataloader, config.val_dataloader, config.test_dataloader):
            loader.num_workers, loader.persistent_workers = 0, False
        pipeline = config.train_dataloader.dataset.pipeline
        pipeline[2].box = (0, SIZE[0], 0, SIZE[1])
        pipeline[5].crop_size = SIZE
        config.val_evaluator.crop_type = config.test_evaluator.crop_type = None
        config.work_dir = str(tmp_path / 'run')
        config.visualizer.name = f'depth_{next(NUMBERS)}'  # mmengine keeps them by name
        config.optim_wrapper.optimizer.update(lr=1e-2, weight_decay=0.0)
        config.param_scheduler = []
        config.randomness = dict(seed=0)
        config.log_level = 'WARNING'
        if head == 'linear':
            config.train_cfg.update(max_iters=3, val_interval=3)
        else:
            config.train_cfg.update(max_epochs=2, val_interval=2)
        config.merge_from_dict(options)
        return Runner.from_cfg(config)

    return make


@pytest.mark.parametrize('head', ['linear', 'dpt'])
def test_daga_and_head_move_and_the_trunk_does_not(runner, head):
    run = runner(head)
    start = {name: value.clone() for name, value in run.model.state_dict().items()}
    run.train()
    moved = {name for name, value in run.model.state_dict().items() if not torch.equal(value, start[name])}
    still = {name for name, p in run.model.named_parameters() if p.requires_grad} - moved
    assert not any('.trunk.' in name for name in moved)
    first = run.model.backbone.adapters['daga'].layers[0]
    assert {name for name in moved if name.startswith(f'backbone.adapters.daga.bottlenecks.{first}.')}
    assert not {name for name in still if 'adapters' in name}, still
    (best,) = Path(run.work_dir).glob('best_rmse_*.pth')
    checkpoint = torch.load(best, weights_only=True)
    assert checkpoint['meta']['fingerprints'] == run.model.backbone.fingerprints()


def test_gradients_reach_the_first_daga_layer(runner):
    run = runner('linear')
    model = run.model.train()
    for parameter in model.backbone.adapters.parameters():
        parameter.data += 0.02 * torch.randn_like(parameter)  # away from the identity, where only the last map learns
    batch = model.data_preprocessor(next(iter(run.build_dataloader(run.cfg.train_dataloader))), training=True)
    losses = model(**batch, mode='loss')
    assert set(losses) == {'decode.loss_siglog'}
    losses['decode.loss_siglog'].backward()
    first = {name: p.grad for name, p in model.backbone.adapters.named_parameters() if '.0.' in f'.{name}'}
    assert first and all(grad is not None and grad.abs().max() > 0 for grad in first.values())
    assert all(p.grad is None for p in model.backbone.trunk.parameters())


def test_the_loss_of_a_few_scenes_falls(runner):
    run = runner('dpt', **{'model.decode_head.loss_decode.0.warm_up_iters': 0})
    model, wrapper = run.model.train(), run.build_optim_wrapper(run.cfg.optim_wrapper)
    batch = next(iter(run.build_dataloader(run.cfg.train_dataloader)))
    losses = [model.train_step(batch, wrapper)['loss'].item() for _ in range(12)]
    assert losses[-1] < 0.8 * losses[0], losses


def test_metrics_of_a_test_run_are_those_of_the_model(runner):
    run = runner('linear', **{'model.test_cfg.flip': True})
    metrics = run.test()
    model = run.model.eval()
    errors = []
    for batch in run.test_dataloader:
        data = model.data_preprocessor(batch)
        with torch.no_grad():
            images = data['inputs']
            depth = (model(images, mode='tensor') + model(images.flip(3), mode='tensor').flip(3)) / 2
        truth = data['data_samples'][0].gt_depth_map.data
        used = (truth > 1e-3) & (truth < 10)
        errors.append((depth[0] - truth)[used].double().square().mean().sqrt().item())
    assert metrics['rmse'] == pytest.approx(sum(errors) / len(errors), rel=1e-5)


def test_the_rate_is_a_cosine_under_a_linear_warm_up():
    """dinov3/eval/depth/schedulers.py: cosine over the whole run times linear over its first third."""
    config = read_config('linear')
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=config.optim_wrapper.optimizer.lr)
    short = [dict(step, begin=0, end=step['end'] // 100) for step in config.param_scheduler]
    assert [step['end'] for step in short] == [128, 384]
    kinds = {'LinearLR': LinearLR, 'CosineAnnealingLR': CosineAnnealingLR}
    schedulers = [kinds[step.pop('type')](optimizer, **step) for step in short]
    for step in range(384):
        expected = 3e-4 * min(1, 1e-3 + 0.999 * step / 127) * (1 + math.cos(math.pi * step / 384)) / 2
        assert optimizer.param_groups[0]['lr'] == pytest.approx(expected, rel=1e-3), step
        optimizer.step()
        for scheduler in schedulers:
            scheduler.step()


@pytest.mark.parametrize('adapter', ['daga', None])
def test_the_linear_head_is_decayed_whole_as_dinov3s(adapter):
    """dinov3/eval/depth/train.py puts all of the head into one group, its norm and its biases included."""
    config = read_config('linear', **{'model.backbone.adapter': adapter})
    init_default_scope('mmseg')
    model = MODELS.build(config.model)
    decays = {
        parameter: group['weight_decay']
        for group in build_optim_wrapper(model, config.optim_wrapper).optimizer.param_groups
        for parameter in group['params']
    }
    head = list(model.decode_head.parameters())
    assert len(head) == 4 and {decays.pop(parameter) for parameter in head} == {1e-4}
    assert set(decays.values()) == ({0.0, 1e-4} if adapter else set()), 'norms and biases of the adapter'
