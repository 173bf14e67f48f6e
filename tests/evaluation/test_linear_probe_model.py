"""DINOv3's linear protocol on images through the Runner: what trains, at which rate, and what is reported."""

import pytest
import torch
from mmengine.registry import MODELS

from daga_mm.engine import Runner
from daga_mm.errors import RunError
from daga_mm.evaluation import DINOV3_LRS, LinearProbe, LinearProbeMetric
from daga_mm.evaluation.weights import Replica

from .conftest import BACKBONE, PREPROCESSOR, build_runner, loader

MODEL = dict(type='daga_mm.LinearProbe', backbone=BACKBONE, data_preprocessor=PREPROCESSOR, num_classes=14)
SGD = dict(type='SGD', lr=0.5, momentum=0.9, weight_decay=0.0)


def trainer(imagenet, work_dir, optimizer=SGD, **options):
    val = loader(imagenet, 'val')
    training = dict(
        model=MODEL,
        train_dataloader=loader(imagenet, 'train', batch_size=8, sampler=dict(type='InfiniteSampler', shuffle=True)),
        val_dataloader=val,
        test_dataloader=val,
        val_evaluator=dict(type='daga_mm.LinearProbeMetric'),
        test_evaluator=dict(type='daga_mm.LinearProbeMetric'),
        train_cfg=dict(type='IterBasedTrainLoop', max_iters=3, val_interval=3),
        val_cfg=dict(),
        test_cfg=dict(),
        optim_wrapper=dict(type='OptimWrapper', optimizer=optimizer),
        param_scheduler=[dict(type='CosineAnnealingLR', by_epoch=False, begin=0, end=3, eta_min=0)],
        default_hooks=dict(checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=3)),
        log_processor=dict(by_epoch=False),
    )
    return build_runner(work_dir, Runner, **training | options)


@pytest.fixture(scope='module')
def trained(imagenet, checkpoint, tmp_path_factory):
    runner = trainer(imagenet, tmp_path_factory.mktemp('linear'), load_from=str(checkpoint))
    start = runner.model.probes.weight.detach().clone()
    runner.train()
    return runner, start


def test_the_probes_train_each_at_its_own_rate_and_nothing_else_does(trained, checkpoint):
    runner, start = trained
    assert {name for name, p in runner.model.named_parameters() if p.requires_grad} == {'probes.weight', 'probes.bias'}
    state = torch.load(checkpoint, weights_only=True)['state_dict']
    own = runner.model.state_dict()
    same = [torch.equal(own[key], value) for key, value in state.items() if key.startswith('backbone.')]
    assert len(same) > 50 and all(same), 'the whole backbone is the checkpoint, after training too'
    moved = (runner.model.probes.weight - start).detach().flatten(1).norm(dim=1)
    # At rates this small all see nearly the same gradients.
    for i in range(6):
        assert moved[i + 1] / moved[i] == pytest.approx(DINOV3_LRS[i + 1] / DINOV3_LRS[i], rel=0.1)


def test_every_rate_is_reported_and_the_best_one(trained, imagenet, tmp_path):
    runner, _ = trained
    tester = trainer(imagenet, tmp_path, load_from=f'{runner.work_dir}/iter_3.pth')
    metrics = tester.test()
    each = {lr: metrics[f'linear/top1_lr{lr:g}'] for lr in DINOV3_LRS}
    assert metrics['linear/top1'] == max(each.values()) == each[metrics['linear/best_lr']]
    hits = torch.zeros(13)
    for sample in tester.test_dataloader.dataset:
        data = tester.model.data_preprocessor(
            {'inputs': [sample['inputs']], 'data_samples': [sample['data_samples']]}, False
        )
        with torch.no_grad():
            logits = tester.model(data['inputs'])
        assert logits.shape == (13, 1, 14)
        hits += (logits.argmax(dim=2) == sample['data_samples'].gt_label).float()[:, 0]
    assert list(each.values()) == pytest.approx((100 * hits / 15).tolist())


def test_the_metric_counts_and_takes_the_first_of_equally_good_rates():
    metric = LinearProbeMetric()
    labels = [{0.1: 1, 0.2: 1, 0.3: 0}, {0.1: 0, 0.2: 2, 0.3: 2}, {0.1: 3, 0.2: 0, 0.3: 3}, {0.1: 0, 0.2: 5, 0.3: 5}]
    metric.process({}, [{'gt_label': torch.tensor([i]), 'probe_labels': row} for i, row in enumerate(labels, 1)])
    assert metric.evaluate(4) == {
        'linear/top1': 50.0, 'linear/best_lr': 0.1,
        'linear/top1_lr0.1': 50.0, 'linear/top1_lr0.2': 50.0, 'linear/top1_lr0.3': 50.0,
    }  # fmt: skip


def build(**changes) -> LinearProbe:
    return MODELS.build(MODEL | changes)


def test_the_backbone_stays_in_eval_mode():
    model = build().train()
    assert model.training and model.probes.training
    assert not any(module.training for module in model.backbone.modules())


def test_one_probe_may_answer_for_all():
    model = build(answering_lr=0.005).eval()
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        answer = model(images)
        torch.testing.assert_close(answer, model.probes(model.backbone(images)[0])[DINOV3_LRS.index(0.005)])
    with pytest.raises(ValueError, match='answering_lr 0.3 is none of lrs'):
        build(answering_lr=0.3)


@pytest.mark.parametrize(
    ('optim_wrapper', 'fault'),
    [
        (dict(optimizer=dict(type='AdamW', lr=1e-3)), 'AdamW, a weight decay'),
        (dict(optimizer=dict(type='SGD', lr=1e-3, momentum=0.9, weight_decay=1e-4)), 'a weight decay'),
        (dict(optimizer=SGD, clip_grad=dict(max_norm=1.0)), 'clip_grad'),
    ],
)
@pytest.mark.parametrize('wrapped', [False, True])
def test_an_optimiser_that_ignores_the_rates_is_refused(wrapped, optim_wrapper, fault, imagenet, tmp_path):
    runner = trainer(imagenet, tmp_path)
    if wrapped:
        runner.model = Replica(runner.model)  # as distributed training does
    runner.build_optim_wrapper(dict(optimizer=SGD))
    with pytest.raises(RunError, match=f'optim_wrapper has {fault}'):
        runner.build_optim_wrapper(optim_wrapper)


def test_fresh_daga_is_refused_when_training_starts(imagenet, tmp_path):
    with pytest.raises(ValueError, match='is untrained'):
        trainer(imagenet, tmp_path).train()


def test_the_data_preprocessors_type_may_be_left_out_and_outputs_are_checked():
    preprocessor = {key: value for key, value in PREPROCESSOR.items() if key != 'type'}
    assert type(build(data_preprocessor=preprocessor).data_preprocessor).__name__ == 'ClsDataPreprocessor'
    with pytest.raises(ValueError, match='a probe reads'):
        build(backbone=BACKBONE | dict(out_type='cls_token', adapter=None))
