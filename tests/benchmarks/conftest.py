"""The modules of benchmarks/, and a copy of the folder that tests may change."""

import shutil

import pytest

from ..conftest import REPOSITORY


@pytest.fixture(scope='session')
def benchmark():
    """Import a module of benchmarks/, as one of its scripts does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(REPOSITORY / 'benchmarks'))
        yield __import__


@pytest.fixture(scope='session')
def plan(benchmark):
    """The plan of the repository."""
    return benchmark('plan').Plan()


@pytest.fixture
def folder(tmp_path):
    """Configs of the benchmark beside those of the package."""
    (tmp_path / 'configs').symlink_to(REPOSITORY / 'configs')
    for name in ('datasets', 'methods'):
        shutil.copytree(REPOSITORY / 'benchmarks' / name, tmp_path / 'benchmarks' / name)
    shutil.copy(REPOSITORY / 'benchmarks/base.py', tmp_path / 'benchmarks')
    return tmp_path / 'benchmarks'
