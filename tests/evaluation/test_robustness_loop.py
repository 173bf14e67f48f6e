"""Robustness on small trees of the true structure, with a classifier whose errors are known beforehand."""

import json
import os
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import torch.multiprocessing as mp
from mmengine.model import BaseModel
from mmengine.registry import MODELS

from daga_mm.datasets import wnids
from daga_mm.errors import RunError
from daga_mm.evaluation import CORRUPTIONS, mean_corruption_error
from daga_mm.evaluation.corruption_error import CORRUPTION_GROUPS

from .conftest import BACKBONE, PREPROCESSOR, build_runner

LOAD = [dict(type='LoadImageFromFile'), dict(type='PackInputs')]
RIGHT, WRONG, DISTRACTED = 0, 100, 200


@MODELS.register_module(force=True)
class ColourReader(BaseModel):
    """A classifier that an image tells what to say: its class, another one, or one that is not in the 200 first."""

    calls = 0

    def __init__(self, num_classes=1000):
        super().__init__(dict(type='mmpretrain.ClsDataPreprocessor'))
        self.head = torch.nn.Parameter(torch.ones(1))
        self.num_classes = num_classes

    def forward(self, inputs, data_samples=None, mode='tensor'):
        type(self).calls += 1
        low, high, what = inputs[:, :, 0, 0].long().T
        label = low + 256 * high
        logits = torch.zeros(len(inputs), self.num_classes)
        rows = torch.arange(len(inputs))
        logits[rows, label] = 1.0
        competing = [wnids().index(wnid) for wnid in wnids('imagenet_a') + wnids('imagenet_r')]
        outside = next(i for i in range(1000) if i not in competing)
        logits[rows[what == WRONG], (label[what == WRONG] + 1) % 1000] = 2.0
        logits[rows[what == DISTRACTED], outside] = 2.0
        return logits


def paint(folder: Path, labels, wrong=0, distracted=0):
    """An image of each label in ``folder/<wnid>/``: the first ones named wrongly, the next ones with a distraction."""
    for number, label in enumerate(labels):
        what = WRONG if number < wrong else DISTRACTED if number < wrong + distracted else RIGHT
        path = folder / wnids()[label] / f'image_{number}.png'
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.full((4, 4, 3), (label % 256, label // 256, what), np.uint8))


def wrong_of(corruption: str, severity: int) -> int:
    """How many of five images are named wrongly."""
    return (CORRUPTIONS.index(corruption) + severity) % 6


@pytest.fixture(scope='module')
def trees(tmp_path_factory):
    root = tmp_path_factory.mktemp('robustness')
    paint(root / 'val', [5, 300, 301, 999], wrong=1)
    for corruption in CORRUPTIONS:
        for severity in range(1, 6):
            paint(root / f'c/{corruption}/{severity}', [0, 10, 255, 256, 998], wrong=wrong_of(corruption, severity))
    a, r = ([wnids().index(wnid) for wnid in wnids(name)] for name in ('imagenet_a', 'imagenet_r'))
    paint(root / 'a', a[:4], distracted=2)
    neighbour = next(label for label in r if label + 1 in r)  # the wrong class must be one that competes
    paint(root / 'r', [neighbour, r[60], r[100], r[199]], wrong=1, distracted=3)
    return root


def measured(trees: Path, work_dir: Path, model=None, options=None, **sets):
    sets = {f'imagenet_{x}': dict(data_root=str(trees / x), pipeline=LOAD) for x in 'car'} | sets
    runner = build_runner(
        work_dir,
        model=dict(type='ColourReader') | (model or {}),
        test_dataloader=dict(
            batch_size=2,
            num_workers=0,
            sampler=dict(type='DefaultSampler', shuffle=False),
            dataset=dict(
                type='daga_mm.ImageNetFolders', data_root=str(trees / 'val'), pipeline=LOAD, serialize_data=False
            ),
        ),
        test_cfg=dict(type='daga_mm.RobustnessLoop', **sets),
        **(options or {}),
    )
    return runner, runner.test()


@pytest.fixture
def run(trees, tmp_path):
    return partial(measured, trees, tmp_path)


def _in_one_of_two(rank: int, trees: Path, folder: Path, metrics: dict) -> None:
    os.environ.update(RANK=str(rank), WORLD_SIZE='2', LOCAL_RANK='0')
    torch.distributed.init_process_group('gloo', init_method=f'file://{folder}/store', rank=rank, world_size=2)
    launched = dict(launcher='pytorch', model_wrapper_cfg=dict(type='daga_mm.Replica'))
    assert measured(trees, folder, options=launched)[1] == metrics, 'each process has them'
    torch.distributed.destroy_process_group()


def test_two_processes_measure_what_one_does(trees, tmp_path):
    """Of five images in a folder, one process has three; and ImageNet-A has four, the clean set too."""
    _, metrics = measured(trees, tmp_path / 'one')
    (tmp_path / 'two').mkdir()
    mp.spawn(_in_one_of_two, (trees, tmp_path / 'two', metrics), nprocs=2)
    one, two = (json.loads(next((tmp_path / x / 'robustness').glob('*.json')).read_text()) for x in ('one', 'two'))
    assert one == two


def test_every_figure_is_what_the_images_say(run):
    runner, metrics = run()
    errors = {name: [wrong_of(name, severity) / 5 for severity in range(1, 6)] for name in CORRUPTIONS}
    accuracy = 100 * (1 - np.mean(list(errors.values())))
    assert metrics == pytest.approx({
        'robustness/clean_top1': 75.0,
        'robustness/imagenet_c_mce': mean_corruption_error(errors),
        'robustness/imagenet_c_top1': accuracy,
        'robustness/imagenet_a_top1': 100.0,  # what distracts is not one of the 200
        'robustness/imagenet_r_top1': 75.0,
    })  # fmt: skip
    folder = Path(runner.log_dir)
    results = json.loads((folder / 'robustness.json').read_text())
    assert {n: row['errors'] for n, row in results['imagenet_c']['corruptions'].items()} == {
        n: pytest.approx(row) for n, row in errors.items()
    }
    assert results['imagenet_c']['images'] == 375 and results['imagenet_a']['images'] == 4
    assert results['fingerprints']['model']
    table = (folder / 'robustness.md').read_text()
    assert f'| ImageNet-C | {accuracy:.2f} | {mean_corruption_error(errors):.2f} | 375 |' in table
    assert '| gaussian noise | 20.0 | 40.0 | 60.0 | 80.0 | 100.0 | 40.0 | 67.7 |' in table
    picture = cv2.imread(str(folder / 'robustness.png'))
    assert picture.shape[1] == 1200 and picture.std() > 10
    assert not list(folder.glob('*.part'))
    written = json.loads((folder / f'{runner.timestamp}.json').read_text())
    assert written['robustness/imagenet_c_mce'] == pytest.approx(metrics['robustness/imagenet_c_mce'])


def test_the_archives_own_folders_are_found(run, trees, tmp_path):
    _, flat = run(imagenet_a=None, imagenet_r=None)
    for group, corruptions in CORRUPTION_GROUPS.items():
        (tmp_path / 'tar' / group).mkdir(parents=True)
        for corruption in corruptions:
            (tmp_path / 'tar' / group / corruption).symlink_to(trees / 'c' / corruption)
    before = ColourReader.calls
    _, grouped = run(imagenet_a=None, imagenet_r=None, imagenet_c=dict(data_root=str(tmp_path / 'tar'), pipeline=LOAD))
    assert grouped == flat and ColourReader.calls - before == 75 * 3


def test_what_is_not_configured_is_said_to_be_not_run(run):
    runner, metrics = run(imagenet_c=dict(data_root='', pipeline=LOAD), imagenet_a=None)
    assert set(metrics) == {'robustness/clean_top1', 'robustness/imagenet_r_top1'}
    folder = Path(runner.log_dir)
    results = json.loads((folder / 'robustness.json').read_text())
    assert results['imagenet_c'].startswith('not run') and results['imagenet_a'].startswith('not run')
    assert '| ImageNet-A | not run' in (folder / 'robustness.md').read_text()
    assert not (folder / 'robustness.png').exists()


def test_all_that_is_missing_is_named_before_anything_is_measured(run, trees, tmp_path):
    for corruption in CORRUPTIONS:
        for severity in range(1, 6):
            if (corruption, severity) not in {('fog', 3), ('snow', 5)}:
                (tmp_path / 'c' / corruption).mkdir(parents=True, exist_ok=True)
                (tmp_path / 'c' / corruption / str(severity)).symlink_to(trees / 'c' / corruption / str(severity))
    (tmp_path / 'c/fog/3').mkdir()  # there, but empty
    before = ColourReader.calls
    with pytest.raises(FileNotFoundError, match='3 folders of images are missing or empty') as error:
        run(
            imagenet_c=dict(data_root=str(tmp_path / 'c'), pipeline=LOAD),
            imagenet_r=dict(data_root=str(tmp_path / 'r'), pipeline=LOAD),
        )
    for folder in ('c/fog/3', 'c/snow/5', 'r'):
        assert f'{tmp_path}/{folder}\n' in f'{error.value}\n'
    assert ColourReader.calls == before


def test_a_run_that_broke_off_goes_on(run, monkeypatch):
    forward = ColourReader.forward

    def stop(self, *args, **kwargs):
        result = forward(self, *args, **kwargs)
        if ColourReader.calls == 34:
            raise KeyboardInterrupt
        return result

    ColourReader.calls = 0
    monkeypatch.setattr(ColourReader, 'forward', stop)
    with pytest.raises(KeyboardInterrupt):  # after the clean images, ten folders, and a part of the eleventh
        run()
    metrics = run()[1]
    assert ColourReader.calls == 34 + 3 * 65 + 2 + 2
    assert run()[1] == metrics and ColourReader.calls == 34 + 3 * 65 + 2 + 2


def test_other_weights_or_images_are_measured_anew(run, trees, tmp_path):
    run(imagenet_c=None)
    ColourReader.calls = 0
    runner, _ = run(imagenet_c=None)
    assert ColourReader.calls == 0
    with torch.no_grad():
        runner.model.head += 1
    runner.test_loop.run()
    assert ColourReader.calls == 6
    (tmp_path / 'r').symlink_to(trees / 'r')
    run(imagenet_c=None, imagenet_r=dict(data_root=str(tmp_path / 'r'), pipeline=LOAD))
    assert ColourReader.calls == 8


def test_other_logits_are_refused(run):
    with pytest.raises(RunError, match=r'\(2, 1001\).*1000'):
        run(dict(num_classes=1001))


def test_what_can_not_be_judged_is_refused(run, tmp_path, monkeypatch):
    outside = next(label for label, wnid in enumerate(wnids()) if wnid not in wnids('imagenet_r'))
    paint(tmp_path / 'r', [outside])
    only_r = dict(imagenet_c=None, imagenet_a=None, imagenet_r=dict(data_root=str(tmp_path / 'r'), pipeline=LOAD))
    with pytest.raises(RunError, match=rf'image_0.png .*{outside}.*imagenet_r'):
        run(**only_r)
    forward = ColourReader.forward
    monkeypatch.setattr(ColourReader, 'forward', lambda self, *args, **kwargs: forward(self, *args, **kwargs) / 0)
    with pytest.raises(RunError, match='the logits of .*image_0.png are not finite'):
        run(imagenet_c=None, imagenet_r=None)


def test_daga_without_trained_weights_is_refused(run):
    head = dict(type='LinearClsHead', num_classes=1000, in_channels=96)
    with pytest.raises(RunError, match='is untrained'):
        run(dict(type='ImageClassifier', backbone=BACKBONE, head=head, data_preprocessor=PREPROCESSOR))


def test_nothing_to_measure_is_refused(run):
    with pytest.raises(ValueError, match='imagenet_c, imagenet_a, imagenet_r'):
        run(imagenet_c=None, imagenet_a=None, imagenet_r=None)
