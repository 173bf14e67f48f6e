import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from daga_mm.compat import mmcv_kind

from ..conftest import REPOSITORY

LITE = pytest.mark.skipif(mmcv_kind() != 'lite', reason='mmcv is compiled here')


def run_python(*arguments: str | Path, path: Path = REPOSITORY) -> subprocess.CompletedProcess:
    """Run a fresh Python with ``path`` before what is installed, and fail with all it printed if it fails."""
    command = [sys.executable, '-W', 'ignore', *arguments]
    environment = os.environ | {'PYTHONPATH': str(path)}
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def make_mmcv(folder: Path, compiled: bool) -> Path:
    package = folder / 'mmcv'
    package.mkdir()
    (package / '__init__.py').touch()
    if compiled:
        (package / '_ext.py').write_text('nms = "compiled"')
    return folder


@pytest.mark.parametrize('kind', ['compiled', 'lite', 'absent'])
def test_mmcv_kind(kind, tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, 'mmcv', raising=False)
    monkeypatch.setattr(sys, 'path', [str(tmp_path)])
    if kind != 'absent':
        make_mmcv(tmp_path, compiled=kind == 'compiled')
    assert mmcv_kind() == kind
    assert 'mmcv' not in sys.modules


def test_a_compiled_mmcv_wins(tmp_path):
    make_mmcv(tmp_path, compiled=True)
    code = """if True:
        import sys, daga_mm.compat.mmcv_ops as ours, mmcv._ext
        assert mmcv._ext.nms == 'compiled'
        assert not any(isinstance(finder, ours.ExtensionFinder) for finder in sys.meta_path)"""
    run_python('-c', code, path=tmp_path)


@LITE
def test_the_import_is_quiet_light_and_takes_effect_once():
    code = """if True:
        import sys, daga_mm.compat as compat
        heavy = {'mmcv', 'torchvision', 'mmdet', 'mmseg', 'mmpretrain'} & set(sys.modules)
        if 'transformers' in sys.modules:  # mmengine's optimisers import it where it is installed
            heavy.discard('torchvision')
        assert not heavy, heavy
        compat.install_operators()
        assert sum(type(finder).__name__ == 'ExtensionFinder' for finder in sys.meta_path) == 1"""
    done = run_python('-c', code)
    assert done.stdout == done.stderr == ''


@LITE
@pytest.mark.skipif(not (find_spec('mmdet') and find_spec('mmseg')), reason='mmdet and mmseg are not both installed')
def test_custom_imports_of_a_text_config_are_enough_for_mmdet_and_mmseg(tmp_path):
    config = tmp_path / 'config.py'
    config.write_text("custom_imports = dict(imports=['daga_mm.compat'], allow_failed_imports=False)\n")
    code = f"""if True:
        from mmengine.config import Config
        Config.fromfile({str(config)!r})
        from mmdet.apis import init_detector
        from mmseg.apis import init_model"""
    run_python('-c', code)


@LITE
def test_a_script_that_begins_with_mmcv_ops(tmp_path):
    (tmp_path / 'neighbour.py').touch()
    script = tmp_path / 'script.py'
    script.write_text('from mmcv.ops import nms\nimport sys, neighbour\nprint(__name__, sys.argv[1:])\n')
    assert run_python('-m', 'daga_mm.compat', script, '--a', 'b').stdout == "__main__ ['--a', 'b']\n"
    assert 'python -m daga_mm.compat SCRIPT' in run_python('-m', 'daga_mm.compat', '--help').stdout
