"""kill -9 in a step, in a save, in a validation: the resumed run ends as the one that nobody killed."""

import json
from pathlib import Path

import pytest
import torch

from ..small_runs import write_data
from .killed_runs import BY_ITERATIONS, TASKS, run, short_config


@pytest.fixture(scope='session')
def config(weights, tmp_path_factory):
    """A function that gives a task's short config; the data are written once."""
    known: dict[str, Path] = {}

    def make(task: str, work_dir: Path, workers: int = 0, **options):
        if task not in known:
            known[task] = write_data(task, tmp_path_factory.mktemp('data'))
        config = short_config(task, known[task], weights, work_dir, workers)
        config.merge_from_dict(options)
        return config

    return make


@pytest.fixture(scope='session')
def uninterrupted(config, tmp_path_factory):
    """A function: the last checkpoint of a task's run that nobody killed, and the images that it read."""
    known = {}

    def end(task: str) -> tuple[dict, list[str]]:
        if task not in known:
            work_dir = tmp_path_factory.mktemp('whole')
            assert run(config(task, work_dir)) == 0
            known[task] = last_checkpoint(work_dir), images_read(work_dir)
        return known[task]

    return end


def last_checkpoint(work_dir: Path) -> dict:
    return torch.load((work_dir / 'last_checkpoint').read_text(), weights_only=True)


def images_read(work_dir: Path) -> list[str]:
    return json.loads((work_dir / 'reads.json').read_text())


# After the kill the last checkpoint is one of the middle: of the 2nd or 4th iteration, of the 1st or 2nd epoch.
KILLS = {'step': ('step', 5), 'save': ('save', 2), 'validation': ('val', 2)}
QUICK = [
    ('depth', 'validation', 2),
    ('classification', 'step', 2),
    ('linear', 'save', 0),
]
MATRIX = [(task, where, workers) for task in TASKS for where in KILLS for workers in (0, 2)]


@pytest.mark.parametrize(
    ('task', 'where', 'workers'),
    [pytest.param(*row, marks=() if row in QUICK else pytest.mark.slow, id='-'.join(map(str, row))) for row in MATRIX],
)
def test_a_killed_run_ends_as_if_it_had_not_been(task, where, workers, config, uninterrupted, tmp_path):
    assert run(config(task, tmp_path, workers), kill=KILLS[where]) == -9
    half = last_checkpoint(tmp_path)
    assert half['meta']['iter'] in (2, 4)
    assert run(config(task, tmp_path, workers, resume=True, load_from=None)) == 0
    (expected, whole), found = uninterrupted(task), last_checkpoint(tmp_path)
    if not workers:
        left = len(whole) * (6 - half['meta']['iter']) // 6
        assert images_read(tmp_path) == whole[-left:], 'what was seen is read again'
    assert found['meta']['iter'] == expected['meta']['iter'] == 6
    differing = [k for k, v in expected['state_dict'].items() if not torch.equal(v, found['state_dict'][k])]
    assert not differing
    hubs = [checkpoint['message_hub']['runtime_info'] for checkpoint in (expected, found)]
    assert hubs[0].get('best_score') == hubs[1].get('best_score')
    names = sorted(path.name for path in tmp_path.glob('*.p*t*') if not path.name.endswith('.py'))
    last = 'iter_6.pth' if task in BY_ITERATIONS else 'epoch_3.pth'
    assert [name for name in names if not name.startswith('best')] == [last], 'outdated or half-written files'
    assert sum(name.startswith('best') for name in names) == ('best_ckpt' in hubs[0])
