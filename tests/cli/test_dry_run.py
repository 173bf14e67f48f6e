"""What would fail in the first validation fails in a dry run."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from mmengine.config import Config
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.visualization import Visualizer

from daga_mm.cli.dry_run import dry_run
from daga_mm.cli.runs import build_runner
from daga_mm.engine import CheckpointHook
from daga_mm.errors import RunError

from ..small_runs import TRAINED
from ..toys import toy_runner


class ToyVisualizationHook(Hook):
    """Draws nothing unless it is told to, as mmdet's and mmseg's."""

    draw, interval = False, 50

    def __init__(self) -> None:
        self.drawn = 0

    def after_val_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        self.drawn += self.draw and self.every_n_inner_iters(batch_idx, self.interval)


class Broken(BaseMetric):
    """Cannot be computed."""

    def process(self, data_batch, data_samples) -> None:
        self.results.append(0)

    def compute_metrics(self, results) -> dict:
        raise KeyError('classes')


class Silent(Broken):
    """Measures nothing, as mmdet's CocoMetric where no box is found."""

    def compute_metrics(self, results) -> dict:
        return {}


def attempt(folder: Path, *hooks: Hook, **changes) -> str:
    def build(config: Config):
        runner = toy_runner(Path(config.work_dir), *hooks)
        for name, value in changes.items():
            setattr(runner, name, value)
        return runner

    return dry_run(Config(dict(work_dir=str(folder))), build)


def test_one_batch_is_validated_and_one_picture_drawn(tmp_path):
    hook = ToyVisualizationHook()
    report = attempt(tmp_path, hook)
    assert 'validation  1 of 4 batches in' in report and ': score; one picture drawn' in report
    assert hook.drawn == 1
    assert not list(tmp_path.iterdir())


def test_a_metric_that_cannot_be_computed_ends_it(tmp_path):
    with pytest.raises(KeyError, match='classes'):
        attempt(tmp_path, _val_evaluator=[Broken()])


def test_a_misspelt_best_metric_ends_it(tmp_path):
    hook = CheckpointHook(100, by_epoch=False, save_best='mIoU', rule='greater')
    with pytest.raises(RunError, match='save_best .*mIoU.*score'):
        attempt(tmp_path, hook)
    assert not list(tmp_path.iterdir())


def test_a_validation_that_measures_nothing_has_no_best_checkpoint(tmp_path):
    assert 'nothing found to measure' in attempt(tmp_path, _val_evaluator=[Silent()])


@pytest.mark.slow
@pytest.mark.parametrize('task', TRAINED)
def test_it_validates_and_draws_for_every_task(task, prepare, monkeypatch):
    drawn: list[str] = []
    monkeypatch.setattr(Visualizer, 'add_image', lambda self, name, image, step=0: drawn.append(name))
    config = prepare(task)
    config.visualizer.name = config.experiment_name = f'dry run {task}'
    report = dry_run(config, lambda config: build_runner(config, SimpleNamespace(launcher='none', local_rank=0)))
    assert 'validation  1 of' in report and 'one picture drawn' in report and len(drawn) == 1
