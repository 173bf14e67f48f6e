import json
import sys
from importlib import metadata

import pytest
import torch
from safetensors.torch import save_file

from daga_mm import doctor
from daga_mm.backbones import build_trunk
from daga_mm.backbones.checkpoints import read_weights
from daga_mm.cli.config import path_names
from daga_mm.compat import mmcv_kind

from .compat.test_mmcv_ops import run_python
from .conftest import TINY

WEIGHTS = 'dinov3_vits16_pretrain_lvd1689m-08c60483.pth'
EACH_PATH = tuple(name.upper() for name in path_names())


@pytest.fixture
def packages(monkeypatch):
    """Pretend that packages have other versions; None: are not installed."""

    def pretend(**versions: str | None) -> None:
        real = metadata.version

        def version(name: str) -> str:
            found = versions.get(name.replace('-', '_'), '') or (
                None if name.replace('-', '_') in versions else real(name)
            )
            if found is None:
                raise metadata.PackageNotFoundError(name)
            return found

        monkeypatch.setattr(metadata, 'version', version)

    return pretend


@pytest.fixture
def report(capsys, monkeypatch, tmp_path):
    """Run some checks in a place without weights and data; returns the exit status and what was printed."""
    for name in EACH_PATH:
        monkeypatch.setenv(name, str(tmp_path / name))

    def run(*titles: str) -> tuple[int, str]:
        monkeypatch.setattr(doctor, 'CHECKS', {title: doctor.CHECKS[title] for title in titles})
        status = doctor.main([])
        return status, capsys.readouterr().out

    return run


def test_all_is_well_here(monkeypatch, tmp_path):
    for name in EACH_PATH:
        monkeypatch.setenv(name, str(tmp_path / name))  # whatever else is on this machine
    out = run_python('-m', 'daga_mm.doctor', '--json').stdout
    found = json.loads(out)
    assert found['faults'] == 0
    assert list(found['groups']) == list(doctor.CHECKS)
    lines = {line['name']: line for group in found['groups'].values() for line in group}
    assert mmcv_kind() in lines['mmcv']['detail']
    for name in ('torch', 'device', 'nms', 'roi_align', 'DAGAViT'):
        assert lines[name]['state'] == 'ok'
    assert lines['DAGAViT']['detail'].endswith('4 maps of 48×2×3')
    assert all(line['cure'] for line in lines.values() if line['state'] != 'ok')


def test_the_text_is_aligned_and_absent_weights_and_data_are_no_faults(report):
    status, out = report('Packages', 'Weights', 'Data sets')
    assert status == 0
    assert out.rstrip().endswith('No faults, 21 missing, needed for some runs only.')
    lines = [line for line in out.splitlines() if line.startswith(('  ok ', '  missing '))]
    assert {line[28:30] for line in lines} == {'  '} and ' ' not in {line[30] for line in lines}
    assert 'docs/weights.md; if you have it: export DINOV3_CHECKPOINTS=' in out
    assert 'export IMAGENET_ROOT=' in out


@pytest.mark.parametrize(
    ('versions', 'line', 'cure'),
    [
        (dict(setuptools='82.0.1'), '82.0.1 is installed, <8', "pip install 'setuptools<8"),
        (dict(timm='1.0.20'), '1.0.20 is installed, >=1.0.31 is needed', "pip install 'timm>=1.0.31'"),
        (dict(torchvision=None), "No module named 'torchvision.ops'", "pip install 'torchvision'"),
        (
            dict(mmcv='2.1.0', mmcv_lite='2.1.0'),
            'overwrite each other',
            'pip uninstall -y mmcv mmcv-lite && pip install',
        ),
        (
            dict(mmcv=None, mmcv_lite=None),
            "No module named 'mmcv'",
            'pip uninstall -y mmcv mmcv-lite && pip install mmcv-lite',
        ),
        (dict(daga_mm=None), 'what it needs is unknown', "pip install -e '"),
        (dict(packaging=None), 'versions are not compared', 'pip install packaging'),
    ],
)
def test_packages(report, packages, versions, line, cure):
    packages(**versions)
    status, out = report('Packages')
    assert status == 1
    assert '  fault ' in out and line in out and f'→ {cure}' in out
    assert '\n1 fault, ' in out


def test_local_and_nightly_versions_are_compared(report, packages):
    packages(torch='2.15.0.dev20260101+cu130')
    assert report('Packages')[0] == 0


def test_an_absent_task_package_is_no_fault_half_of_one_is(report, packages):
    packages(mmdet=None, mmpretrain=None, openmim=None)
    status, out = report('Packages', 'Task packages')
    assert status == 0
    for cure in ("pip install 'daga_mm[det]'", "pip install 'daga_mm[cls]'", 'pip install openmim'):
        assert f'→ {cure}' in out
    packages(ftfy=None)
    status, out = report('Task packages')
    assert status == 1
    assert (
        "ftfy               ModuleNotFoundError: No module named 'ftfy'\n" in out
        and "→ pip install 'daga_mm[seg]'" in out
    )


def test_an_absent_panopticapi_is_no_fault(report, monkeypatch):
    monkeypatch.setitem(sys.modules, 'panopticapi', None)
    status, out = report('Task packages')
    assert status == 0 and 'panopticapi        not installed: no panoptic segmentation' in out
    assert '→ pip install --no-deps panopticapi-lite==' in out


@pytest.mark.parametrize(
    ('broken', 'cure'),
    [
        ('torch', 'pip install --force-reinstall torch torchvision'),
        ('mmengine', f'pip install --force-reinstall mmengine=={metadata.version("mmengine")}'),
        ('mmcv', 'pip uninstall -y mmcv mmcv-lite && pip install mmcv-lite'),
    ],
)
def test_a_broken_package_does_not_stop_the_report_and_is_cured_once(broken, cure, tmp_path):
    """In a fresh process, in front of what is installed: a module that fails as mismatched binaries do."""
    (tmp_path / f'{broken}.py').write_text("raise RuntimeError('an operator does not exist')")
    code = f"""if True:
        import sys
        sys.path.insert(0, {str(tmp_path)!r})
        from daga_mm import doctor
        del doctor.CHECKS['Task packages']  # slow to import
        assert doctor.main([]) == 1"""
    lines = run_python('-c', code).stdout.splitlines()
    faults = [number for number, line in enumerate(lines) if line.startswith('  fault ')]
    assert len(faults) > 2
    assert all(lines[number].endswith('RuntimeError: an operator does not exist') for number in faults)
    assert lines[faults[0]].split()[1] == broken and f'→ {cure}' in lines[faults[0] + 1]
    assert all(lines[number + 1].endswith(f'→ as for {broken} above') for number in faults[1:])
    assert {*doctor.CHECKS} - {*lines} == {'Task packages'}


def test_wrong_results_of_an_operator(report, monkeypatch):
    import mmcv.ops

    monkeypatch.setattr(mmcv.ops, 'nms', lambda boxes, scores, iou_threshold: (boxes, torch.arange(3)))
    status, out = report('Operators of mmcv')
    assert status == 1
    assert '[0, 1, 2] instead of [0, 2]' in out and '→ pip uninstall -y mmcv mmcv-lite' in out


# -- weights -------------------------------------------------------------------------------------------------------


def weights(tmp_path):
    path = tmp_path / 'DINOV3_CHECKPOINTS' / WEIGHTS
    path.parent.mkdir()
    return path


def official(width: int = 384) -> dict[str, torch.Tensor]:
    return {'cls_token': torch.zeros(1, 1, width), 'storage_tokens': torch.zeros(1, 4, width)}


@pytest.mark.parametrize(
    ('save', 'origin'),
    [
        (lambda path: torch.save(official(), path), 'Meta'),
        (lambda path: torch.save({'teacher': {f'backbone.{k}': v for k, v in official().items()}}, path), 'Meta'),
        (
            lambda path: save_file(
                {f'embeddings.{k}': v for k, v in official().items()} | {'embeddings.register_tokens': torch.zeros(1)},
                path,
            ),
            'Hugging Face',
        ),
        (lambda path: save_file({'cls_token': torch.zeros(1, 1, 384), 'reg_token': torch.zeros(1)}, path), 'timm'),
        (
            lambda path: torch.save({'state_dict': {'backbone.trunk.model.cls_token': torch.zeros(1, 1, 384)}}, path),
            'daga_mm',
        ),
    ],
)
def test_weights_are_recognised_by_content(report, tmp_path, save, origin):
    save(weights(tmp_path))
    status, out = report('Weights')
    assert status == 0
    assert f'384 channels, format of {origin}\n' in out


def damaged(path):
    torch.save(official(), path)
    path.write_bytes(path.read_bytes()[:-200])


@pytest.mark.parametrize(
    ('save', 'line'),
    [
        (lambda path: path.write_text('<!DOCTYPE html><html>Access denied'), 'is a web page, not weights'),
        (lambda path: path.touch(), 'is empty: the download broke off'),
        (damaged, 'it is damaged'),
        (lambda path: torch.save(official(768), path), 'is another trunk: it has 768 channels, dinov3_vits16 has 384'),
        (lambda path: torch.save({'fc.weight': torch.zeros(2)}, path), 'holds no DINOv3 or DINOv2 in a known format'),
    ],
)
def test_weights_that_are_none(report, tmp_path, save, line):
    save(weights(tmp_path))
    status, out = report('Weights')
    assert status == 1
    assert line in out and f'→ get it anew as docs/weights.md says, in the place of {tmp_path}' in out


def test_a_file_of_torch_is_not_read_for_its_header(tmp_path):
    path = weights(tmp_path)
    trunk = build_trunk(TINY)
    torch.save(trunk.model.state_dict(), path)
    state = read_weights(path)
    assert {key: value.shape for key, value in state.items()} == {
        key: value.shape for key, value in trunk.model.state_dict().items()
    }
    assert len({value.untyped_storage().filename for value in state.values()}) == 1  # mapped, each from the file


# -- data sets -----------------------------------------------------------------------------------------------------


def test_half_a_data_set(report, tmp_path):
    root = tmp_path / 'ADE20K_ROOT'
    for part in doctor.LAYOUTS['ade20k_root']:
        (root / part).mkdir(parents=True)
        (root / part / 'a.jpg').touch()
    assert report('Data sets')[0] == 0
    (root / 'annotations/training/a.jpg').unlink()
    status, out = report('Data sets')
    assert status == 1
    assert f'{root} lacks annotations/training\n' in out and f'→ put them into {root}, or export ADE20K_ROOT=' in out


def test_help(capsys):
    with pytest.raises(SystemExit) as done:
        doctor.main(['--help'])
    assert done.value.code == 0
    assert '--json' in capsys.readouterr().out
