"""The probes through Runner.test, on small image folders: metrics, cache, provenance, refusals."""

import json
from pathlib import Path

import pytest

from daga_mm.backbones import DAGAViT
from daga_mm.engine import Runner
from daga_mm.errors import RunError
from daga_mm.evaluation import knn_classify, read_bank

from .conftest import BACKBONE, PREPROCESSOR, build_runner, loader

KNN = dict(type='daga_mm.KNNLoop', ks=(1, 5), num_classes=14)
REGRESSION = dict(type='daga_mm.LogisticRegressionLoop', cs=(1e-2, 1.0), val_fraction=0.2, num_classes=14)
LINEAR = dict(type='daga_mm.LinearProbeLoop', max_iters=5, batch_size=8, val_fraction=0.2, num_classes=14)


@pytest.fixture(scope='module')
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp('features')


@pytest.fixture
def runner(imagenet, checkpoint, cache, tmp_path):
    def build(loop, **options):
        loop = dict(train_dataloader=loader(imagenet, 'train'), cache_dir=str(cache)) | loop
        options = dict(test_dataloader=loader(imagenet, 'val'), load_from=str(checkpoint)) | options
        return build_runner(tmp_path, test_cfg=loop, **options)

    return build


def test_nearest_neighbours_are_those_of_the_banks_class_tokens(runner, cache):
    tester = runner(KNN)
    metrics = tester.test()
    assert list(metrics) == ['knn/top1_k1', 'knn/top5_k1', 'knn/top1_k5', 'knn/top5_k5']
    banks = {path.name.split('-')[0]: read_bank(path) for path in cache.glob('*.safetensors')}
    (train, labels), (test, truth) = banks['train'], banks['test']
    votes = knn_classify(train[:, :48], labels, test[:, :48], 14, ks=(1, 5))
    for k in (1, 5):
        assert metrics[f'knn/top1_k{k}'] == pytest.approx(100 * (votes[k].argmax(1) == truth).double().mean().item())
    assert metrics['knn/top5_k1'] == metrics['knn/top1_k1'], 'a class without a vote is no hit'

    written = json.loads((Path(tester.log_dir) / f'{tester.timestamp}.json').read_text())
    assert {key: written[key] for key in metrics} == pytest.approx(metrics)
    assert {key: written[key] for key in ('trunk', 'adapters')} == tester.model.backbone.fingerprints()
    assert tester.model.backbone.fingerprints()['adapters'] != 'none'


@pytest.mark.parametrize(
    ('loop', 'names'),
    [
        (REGRESSION, {'logistic_regression/top1', 'logistic_regression/best_c'}),
        (LINEAR, {'linear/top1', 'linear/best_lr', 'linear/top1_lr1e-05', 'linear/top1_lr0.1'}),
        (KNN | dict(features='cls_avg'), {'knn/top1_k1'}),
    ],
)
def test_other_probes_read_the_same_banks_and_leave_the_model_alone(runner, cache, loop, names, monkeypatch):
    runner(KNN).test()
    before = {path: path.stat().st_mtime_ns for path in cache.iterdir()}
    monkeypatch.setattr(DAGAViT, 'forward', lambda *args: pytest.fail('the model was run, though there is a bank'))
    metrics = runner(loop).test()
    assert names <= set(metrics) and all(0 <= value <= 100 for value in metrics.values())
    assert {path: path.stat().st_mtime_ns for path in cache.iterdir()} == before


def test_a_bank_under_another_banks_name_is_refused(runner, cache, tmp_path):
    runner(KNN).test()
    train, test = sorted(cache.glob('train-*'))[0], sorted(cache.glob('test-*'))[0]
    other = tmp_path / 'cache'
    other.mkdir()
    for path in (train, test):
        (other / path.name).write_bytes(test.read_bytes())
    with pytest.raises(RunError, match=r'(?s)train-29-\w+.safetensors .*images.* 15 .* 29'):
        runner(KNN | dict(cache_dir=str(other))).test()


def test_more_classes_than_the_config_knows_are_refused(runner):
    with pytest.raises(RunError, match='14 classes, .*num_classes of KNNLoop is 10'):
        runner(KNN | dict(num_classes=10)).test()


def test_few_classes_have_no_top5(runner, imagenet, cache, tmp_path):
    few = tmp_path / 'few'
    for split in ('train', 'val'):
        for wnid in sorted((imagenet / split).iterdir())[:3]:
            (few / split).mkdir(parents=True, exist_ok=True)
            (few / split / wnid.name).symlink_to(wnid)
    metrics = runner(
        KNN | dict(num_classes=3, train_dataloader=loader(few, 'train')), test_dataloader=loader(few, 'val')
    ).test()
    assert list(metrics) == ['knn/top1_k1', 'knn/top1_k5']


def test_folders_of_other_classes_are_refused(imagenet, tmp_path):
    for split, first in (('train', 0), ('val', 1)):
        (tmp_path / split).mkdir()
        for wnid in sorted((imagenet / split).iterdir())[first : first + 3]:
            (tmp_path / split / wnid.name).symlink_to(wnid)
    loop = KNN | dict(num_classes=3, train_dataloader=loader(tmp_path, 'train'), cache_dir=str(tmp_path / 'cache'))
    runner = build_runner(tmp_path / 'run', Runner, test_cfg=loop, test_dataloader=loader(tmp_path, 'val'))
    with pytest.raises(RunError, match=f'{tmp_path}/val'):
        assert runner.test_loop


def test_an_evaluator_is_refused(runner):
    with pytest.raises(ValueError, match=r'test_evaluator=\[\]'):
        runner(KNN, test_evaluator=dict(type='Accuracy')).test()


def test_daga_without_trained_weights_is_refused_and_the_frozen_trunk_is_not(runner):
    with pytest.raises(RunError, match=r'is untrained.*load_from'):
        runner(KNN, load_from=None).test()
    frozen = dict(
        type='ImageClassifier', data_preprocessor=PREPROCESSOR, backbone=BACKBONE | dict(adapter=None, init_cfg=None)
    )
    assert runner(KNN, load_from=None, model=frozen).test()


def test_without_a_checkpoint_the_weights_come_from_init_cfg(runner, checkpoint):
    init_cfg = dict(type='Pretrained', checkpoint=str(checkpoint))
    frozen = dict(
        type='ImageClassifier', data_preprocessor=PREPROCESSOR,
        backbone=BACKBONE | dict(adapter=None, init_cfg=init_cfg),
    )  # fmt: skip
    tester = runner(KNN, load_from=None, model=frozen)
    metrics = tester.test()
    loaded = runner(KNN, model=frozen)
    assert loaded.test() == metrics
    assert tester.model.backbone.fingerprints() == loaded.model.backbone.fingerprints()
