"""The modules of benchmarks/, and a copy of the folder that tests may change."""

import shutil

import pytest

from ..conftest import REPOSITORY


@pytest.fixture
def benchmark(monkeypatch):
    """Import a module of benchmarks/, as one of its scripts does."""
    monkeypatch.syspath_prepend(str(REPOSITORY / 'benchmarks'))
    return __import__


@pytest.fixture
def folder(tmp_path):
    """Configs of the benchmark beside those of the package."""
    (tmp_path / 'configs').symlink_to(REPOSITORY / 'configs')
    for name in ('datasets', 'methods'):
        shutil.copytree(REPOSITORY / 'benchmarks' / name, tmp_path / 'benchmarks' / name)
    shutil.copy(REPOSITORY / 'benchmarks/base.py', tmp_path / 'benchmarks')
    return tmp_path / 'benchmarks'
