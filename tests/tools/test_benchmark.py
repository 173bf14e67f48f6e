"""The benchmarks: honest rivals, whole rows, and one clear line where something is missing."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec

import pytest
import torch

from daga_mm.backbones import DAGAViT
from demo.scenes.writers import WRITERS

from ..conftest import REPOSITORY, TINY, spread_out
from .conftest import run_script

FOLDER = REPOSITORY / 'tools/analysis_tools'
ARCH = 'vit_tiny_patch16_224'
KEYS = {'case', 'guidance', 'layers', 'size', 'with_cp', 'forward_s', 'step_s', 'step_peak_mb', 'trained_params'}
KEYS |= {'added_params', 'total_params', 'forward_to_frozen', 'step_to_full', 'forward_gflops', 'step_gflops'}


@pytest.fixture(scope='module')
def costs():
    """The folder of the tools on sys.path, as it is where one of them runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        import costs.cases as cases
        import costs.two_pass as two_pass

        yield cases, two_pass


def run(tool: str, *arguments) -> subprocess.CompletedProcess:
    command = [sys.executable, '-W', 'ignore', FOLDER / tool, *map(str, arguments)]
    environment = os.environ | {'OMP_NUM_THREADS': '1', 'PYTHONPATH': str(REPOSITORY)}
    return subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, env=environment)


def test_two_passes_come_to_the_same_result(costs, tiny, images):
    _, two_pass = costs
    model = tiny(guidance=dict(source='frozen'))
    plain = two_pass.TwoPassDAGAViT(
        TINY, daga_layers=(0, 2, 3), out_indices=(0, 1, 2, 3), guidance=dict(source='frozen')
    )
    plain.load_state_dict(model.state_dict())
    runs = []
    for index, block in enumerate(plain.trunk.model.blocks):
        block.register_forward_hook(lambda *_, i=index: runs.append(i))
    for ours, theirs in zip(model(images), plain.eval()(images), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    assert runs == [0, 1, 2, 3] * 2
    assert all(block.attn.fused_attn for block in plain.trunk.model.blocks)


@pytest.mark.parametrize('name', ['lora', 'bottleneck'])
def test_rivals_are_of_the_size_of_daga_and_learn(costs, name):
    cases, _ = costs
    if name == 'lora' and not find_spec('peft'):
        pytest.skip('peft is not installed')
    model = cases.build(cases.Case(name), 'dinov3_vits16', (1, 2, 10, 11))
    daga = sum(p.numel() for p in DAGAViT('dinov3_vits16').adapters.parameters())
    trained = {key: p for key, p in model.named_parameters() if p.requires_grad}
    assert abs(sum(p.numel() for p in trained.values()) / daga - 1) < 0.05
    spread_out(model.trunk)
    sum(out.square().mean() for out in model.train()(torch.randn(1, 3, 32, 32))).backward()
    assert [key for key, p in trained.items() if p.grad is None or not p.grad.abs().sum() > 0] == []


def test_guidance_is_named_as_it_is_given(costs):
    cases, _ = costs
    for text in ('inline', 'frozen', 'frozen:scale=0.5', 'frozen:layer=2,scale=0.5'):
        model = DAGAViT(TINY, daga_layers=(3,), guidance=cases.parse_guidance(text))
        assert cases.describe_guidance(model) == text
    with pytest.raises(ValueError, match='guidance is like inline, frozen or'):
        cases.parse_guidance('frozen:half')


def test_a_row_per_case_with_what_it_costs(tmp_path):
    out = tmp_path / 'costs.json'
    options = ['--arch', ARCH, '--size', 32, '--repeats', 1, '--memory', 'step', '--with-cp', '--threads', 1]
    cases = ['--cases', 'frozen', 'daga', 'full', '--guidance', 'inline', '--layers', 1, 11, '--profile']
    result = run_script(FOLDER / 'benchmark.py', *options, *cases, '--json', out)
    assert result.returncode == 0, result.stderr
    rows = {(row['case'], row['with_cp']): row for row in json.loads(out.read_text())}
    assert list(rows) == [('frozen', False), ('daga', False), ('daga', True), ('full', False)]
    assert all(row.keys() >= KEYS for row in rows.values())
    frozen, daga, full = rows['frozen', False], rows['daga', False], rows['full', False]
    assert frozen['step_s'] is None and frozen['trained_params'] == frozen['added_params'] == 0
    assert daga['guidance'] == 'inline' and daga['layers'] == [1, 11]
    assert daga['trained_params'] == daga['added_params'] > 0 == full['added_params']
    assert daga['step_gflops'] < full['step_gflops'] and frozen['forward_gflops'] < daga['forward_gflops']
    assert 0 < daga['step_peak_mb'] < full['step_peak_mb'] and full['step_to_full'] == 1
    costs, forward, step = result.stdout.split('\n\n|')[1:]
    assert costs.count('\n|') == 1 + len(rows), 'dashes, all rows'
    assert forward.count('\n|') == step.count('\n|') == 14 and 'aten::addmm' in forward and 'aten::mm' in step
    assert [set(row['operators_ms']) for row in (frozen, daga)] == [{'forward'}, {'forward', 'step'}]

    picture = tmp_path / 'costs.png'
    assert run_script(FOLDER / 'plot_costs.py', '--sizes', out, '--layers', out, '--out', picture).returncode == 0
    assert picture.read_bytes().startswith(b'\x89PNG')


def test_rivals_have_rows_of_their_own(tmp_path):
    out = tmp_path / 'costs.json'
    cases = ['frozen', 'two_pass', 'bottleneck', 'guidance', *(['lora'] if find_spec('peft') else [])]
    options = ['--arch', ARCH, '--size', 32, '--batch', 2, '--dtype', 'bfloat16', '--repeats', 1, '--memory', 'none']
    result = run_script(
        FOLDER / 'benchmark.py', *options, '--layers', 1, 11, '--threads', 1, '--cases', *cases, '--json', out
    )
    assert result.returncode == 0, result.stderr
    rows = {row['case']: row for row in json.loads(out.read_text())}
    assert list(rows) == cases
    assert {(row['batch'], row['dtype']) for row in rows.values()} == {(2, 'bf16')}
    assert rows['guidance']['step_s'] is None and rows['guidance']['forward_gflops'] < rows['frozen']['forward_gflops']
    assert rows['two_pass']['forward_gflops'] > 1.9 * rows['frozen']['forward_gflops']
    added = [row['added_params'] for case, row in rows.items() if case in ('two_pass', 'lora', 'bottleneck')]
    assert min(added) > 0.9 * max(added), 'of one size'


@pytest.fixture(scope='module')
def savings(costs):
    import savings

    return savings


@pytest.mark.parametrize('name', ['prefix', 'graph', 'weights', 'positions', 'channels_last', 'sum_of_rows'])
def test_a_saving_changes_no_result(savings, name):
    """Those that torch.compile makes are tested where the backbone is."""
    saving = savings.SAVINGS[name]
    assert saving.exact
    losses = [[step() for _ in range(2)] for step in (make(TINY, 64) for make in (saving.without, saving.saving))]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    assert losses[0][0] != losses[0][1], 'something is trained'


def test_savings_are_shown_side_by_side(tmp_path):
    out = tmp_path / 'savings.json'
    options = [
        '--only',
        'inline',
        'graph',
        '--arch',
        ARCH,
        '--size',
        32,
        48,
        '--repeats',
        1,
        '--threads',
        1,
        '--json',
        out,
    ]
    result = run_script(FOLDER / 'savings.py', *options)
    assert result.returncode == 0, result.stderr
    rows = json.loads(out.read_text())
    assert [(row['saving'], row['size']) for row in rows] == [(n, s) for n in ('inline', 'graph') for s in (32, 48)]
    assert all(row['kept'] for row in rows)
    assert result.stdout.count('\n') == 4 and '32² | ratio | step, ms, 48²' in result.stdout


def test_a_ratio_is_the_median_of_the_rounds_ratios(savings, monkeypatch):
    """Rounds differ by what else the machine does; both steps of a round have it in common."""
    clock = iter([9, 9, 1.0, 0.5, 10.0, 6.0, 2.0, 2.0])  # a warm-up, then three rounds: 0.5, 0.6, 1.0
    monkeypatch.setattr(savings, 'seconds', lambda step, device: next(clock))
    row = savings.measure('inline', ARCH, 32, repeats=3)
    assert (row['without_s'], row['with_s'], row['ratio']) == (2.0, 2.0, 0.6)


def test_lora_without_peft_names_the_cure(costs, monkeypatch):
    cases, _ = costs
    monkeypatch.setitem(sys.modules, 'peft', None)  # as if not installed
    with pytest.raises(ModuleNotFoundError, match="the case 'lora' needs peft: pip install peft"):
        cases.build(cases.Case('lora'), 'dinov3_vits16', (11,))


def test_a_step_of_a_task_is_split_into_its_parts(tmp_path):
    config = 'configs/mmseg/fcn_daga-vits16_linear_8xb2-40k_ade20k-512x512.py'
    out = tmp_path / 'task.json'
    result = run_script(FOLDER / 'task_costs.py', config, '--size', 64, 96, '--iterations', 1, '--json', out)
    assert result.returncode == 0, result.stderr
    found = json.loads(out.read_text())
    parts = found['parts']
    assert list(parts) == ['trunk', 'neck', 'head', 'optimiser']
    assert all(parts[name][kind] > 0 for name in ('trunk', 'neck', 'head') for kind in ('forward', 'backward'))
    assert found['step_s'] == pytest.approx(sum(sum(part.values()) for part in parts.values()))
    assert '2 synthetic images of 64×96' in result.stdout


@pytest.mark.slow
def test_loading_stands_beside_what_the_trunk_takes(tmp_path):
    root = WRITERS['ade20k'](tmp_path / 'ade20k', 3, 1, seed=0, size=(48, 64)) / 'ADEChallengeData2016'
    config = 'configs/mmseg/fcn_daga-vits16_linear_8xb2-40k_ade20k-512x512.py'
    out = tmp_path / 'task.json'
    loading = ['--workers', 1, '--batches', 1, '--cfg-options', f'ade20k_root={root}']
    result = run('task_costs.py', config, '--size', 64, 96, '--iterations', 1, *loading, '--json', out)
    assert result.returncode == 0, result.stderr
    found = json.loads(out.read_text())
    assert [row['workers'] for row in found['loading']] == [1]
    assert found['loading'][0]['images_per_s'] > 0 and found['frozen_images_per_s'] > 0
    assert '| 1 workers |' in result.stdout and 'taken by the frozen trunk' in result.stdout
