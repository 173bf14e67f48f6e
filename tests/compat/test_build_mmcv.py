"""tools/build_mmcv.sh, up to and after the compiler: a stand-in for Python does what is asked of pip."""

import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from ..conftest import REPOSITORY

SCRIPT = REPOSITORY / 'tools' / 'build_mmcv.sh'
PYTHON = r"""#!/bin/bash
# Logs each call; fails those that match $FAIL; the download brings a setup.py, and the wheel logs what became of it.
call="${*//$'\n'/ }"
echo "$call" >>"$LOG"
while [ $# -gt 0 ]; do
    case $1 in --dest) dest=$2 ;; --wheel-dir) wheels=$2 ;; esac
    last=$1
    shift
done
case $call in
*" download "*) cp "$SDIST" "$dest" ;;
*" wheel "*) grep -o 'std=[^'\'']*' "$last/setup.py" >>"$LOG"; mkdir "$wheels"; touch "$wheels/mmcv-2.1.0-cp311.whl" ;;
*" list "*) echo mmcv-lite==2.1.0 ;;
*TorchVersion*) echo "$STANDARD" ;;
esac
[[ -z "$FAIL" || ! $call =~ $FAIL ]]
"""

pytestmark = pytest.mark.skipif(shutil.which('bash') is None, reason='there is no bash')


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        ['bash', SCRIPT, *arguments], env=os.environ | environment, capture_output=True, text=True, timeout=60
    )


@pytest.fixture
def environment(tmp_path) -> dict[str, str]:
    python, setup, sdist = tmp_path / 'python', tmp_path / 'setup.py', tmp_path / 'mmcv-2.1.0.tar.gz'
    python.write_text(PYTHON)
    python.chmod(0o755)
    setup.write_text("cxx = ['-std=c++14'], nvcc = ['-std=c++17']")
    with tarfile.open(sdist, 'w:gz') as archive:
        archive.add(setup, 'mmcv-2.1.0/setup.py')
    (tmp_path / 'tmp').mkdir()
    paths = dict(PYTHON=python, LOG=tmp_path / 'log', SDIST=sdist, TMPDIR=tmp_path / 'tmp')
    return {name: str(path) for name, path in paths.items()} | dict(FAIL='', STANDARD='20', CXX='true')


def calls(environment: dict[str, str], *words: str) -> list[str]:
    """The words that the logged calls hold, in their order."""
    lines = Path(environment['LOG']).read_text().splitlines()
    return [word for line in lines for word in words if word in line]


def test_help_says_what_it_does():
    done = run('--help')
    assert done.returncode == 0 and done.stderr == ''
    for word in ('mmcv 2.1.0', 'mmcv-lite', '27 minutes', 'MAX_JOBS', 'CXX'):
        assert word in done.stdout
    assert run('--hepl').returncode == 2


@pytest.mark.parametrize('standard', ['17', '20'])
def test_mmcv_lite_goes_when_the_wheel_has_been_tried_out(environment, standard):
    done = run(**environment | dict(STANDARD=standard))
    assert done.returncode == 0, done.stderr
    steps = ('download', ' wheel ', '--target', 'mmcv.ops.nms', 'uninstall', 'install --quiet --no-deps /')
    assert calls(environment, *steps, 'std=') == [
        'download',
        ' wheel ',
        *['std='] * 2,
        '--target',
        'mmcv.ops.nms',
        'uninstall',
        'install --quiet --no-deps /',
        'mmcv.ops.nms',
    ]
    assert calls(environment, 'std=c++14', 'std=c++17', 'std=c++20') == [f'std=c++{standard}'] * 2
    assert not any(Path(environment['TMPDIR']).iterdir())


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(CXX='/nonexistent/c++'), 'no C++ compiler at /nonexistent/c++: install g++'),
        (dict(PYTHON='/nonexistent/python'), 'there is no /nonexistent/python'),
        (dict(FAIL='import torch$'), "can't import torch"),
        (dict(FAIL='import pkg_resources'), "pip install 'setuptools<82'"),
        (dict(FAIL=' wheel '), 'mmcv did not compile'),
        (dict(FAIL='mmcv.ops.nms'), 'the new mmcv does not run'),
    ],
)
def test_a_failure_leaves_mmcv_lite_alone(environment, change, message):
    Path(environment['LOG']).touch()
    done = run(**environment | change)
    assert done.returncode == 1 and message in done.stderr
    assert not calls(environment, 'uninstall')
    assert not any(Path(environment['TMPDIR']).iterdir())


def test_mmcv_lite_comes_back_if_the_last_step_fails(environment):
    done = run(**environment | dict(FAIL='install --quiet --no-deps /'))
    assert done.returncode == 1 and 'Back again: mmcv-lite==2.1.0' in done.stderr
    assert calls(environment, 'uninstall', 'install --quiet --no-deps mmcv-lite==2.1.0')[-1].endswith('2.1.0')
