"""Upstream's own scripts, and the one that mim starts, build the Runner that checks weights, data and settings."""

import importlib.util
from pathlib import Path

import pytest

import daga_mm.compat  # noqa: F401 (mmdet and mmseg import mmcv's operators)
from daga_mm.engine import Runner

from ..tools.conftest import run_script

SCRIPTS = [
    ('daga_mm', 'train'),
    ('mmdet', 'train'),
    ('mmseg', 'train'),
    ('mmpretrain', 'train'),
    ('mmdet', 'test'),
    ('mmpretrain', 'test'),
]


@pytest.fixture(scope='module')
def config(prepare) -> Path:
    config = prepare('classification')
    path = Path(config.work_dir).with_suffix('.py')
    config.dump(path)
    return path


@pytest.mark.parametrize(('package', 'name'), SCRIPTS)
def test_the_script_builds_our_runner(package, name, config, monkeypatch):
    script = Path(importlib.util.find_spec(package).submodule_search_locations[0], f'.mim/tools/{name}.py')
    built = []
    monkeypatch.setattr(Runner, name, lambda self: built.append(type(self)))
    result = run_script(script, config, *(['none.pth'] if name == 'test' else ()))
    assert result.returncode == 0, result.stderr
    assert built == [Runner]
