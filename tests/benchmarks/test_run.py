"""One small cell, for real; what is asked for; costs."""

import json
import sys

import cv2
import numpy as np
import pytest

from ..conftest import write_trunk

SMALL = """
_base_ = './camvid_linear.py'
benchmark = dict(part='small', rates_of=None)
data = dict(data_root={root!r}, indices=2)
model = dict(
    data_preprocessor=dict(size=(64, 64)),
    backbone=dict(
        arch=dict(_delete_=True, name='dinov3_vits16', embed_dim=48, depth=4, num_heads=3),
        init_cfg=dict(checkpoint={weights!r}),
    ),
    neck=dict(embed_dims=48),
    decode_head=dict(in_channels=[48] * 4, channels=192),
)
train_dataloader = dict(batch_size=2, dataset=dict(data_root={root!r}, indices=2))
val_dataloader = dict(dataset=dict(data_root={root!r}, indices=2))
train_cfg = dict(max_epochs=1, val_interval=1)
"""


@pytest.fixture
def small(benchmark, folder, tmp_path):
    """Results of a plan with one data set, of four images of noise, and one method."""
    generator = np.random.default_rng(0)
    for split in ('train', 'test'):
        for index in range(2):
            for kind, suffix, high, shape in (('', 'jpg', 256, (64, 64, 3)), ('annot', 'png', 12, (64, 64))):
                (tmp_path / 'data' / f'{split}{kind}').mkdir(parents=True, exist_ok=True)
                pixels = generator.integers(high, size=shape, dtype=np.uint8)
                cv2.imwrite(str(tmp_path / 'data' / f'{split}{kind}' / f'{index}.{suffix}'), pixels)
    weights = write_trunk(tmp_path / 'trunk.safetensors')
    (folder / 'datasets/small.py').write_text(SMALL.format(root=str(tmp_path / 'data'), weights=weights))
    for path in [*folder.glob('datasets/*.py'), *folder.glob('methods/*.py')]:
        if path.stem not in ('small', 'camvid_linear', 'lora'):
            path.unlink()
    return benchmark('results').Results(folder / 'results', benchmark('plan').Plan(folder))


def test_a_cell_runs_once(benchmark, small, tmp_path, capsys):
    run = benchmark('run')
    cells = run.chosen(small, ['small/lora/0'], whole=False)
    assert list(map(str, cells)) == ['small/lora/0']
    assert run.run_all(cells, small, tmp_path / 'runs', 'cpu', jobs=1) == []
    assert '1 of 1, 0:00:00 left: small/lora/0' in capsys.readouterr().out
    (line,) = (json.loads(text) for text in (small.folder / 'small.jsonl').read_text().splitlines())
    assert (line['dataset'], line['method'], line['seed'], line['rate']) == ('small', 'lora', 0, 1e-3)
    assert 0 <= line['score'] == line['metrics']['mIoU'] <= 100
    assert line['trained'] == 21 * 4 * (48 + 3 * 48 + 48 + 48) and len(line['fingerprint']) == 16
    assert line['cpu_seconds'] > 0 and line['peak_mb'] > 100
    assert run.chosen(small, ['small/lora/0'], whole=False) == [], 'it is not repeated'
    assert list(map(str, run.chosen(small, ['small'], whole=False))) == ['small/lora/1', 'small/lora/2']
    assert '    small/lora/1' in run.overview(small) and '    small/lora/0' not in run.overview(small)


def test_what_fails_is_said_and_the_rest_goes_on(benchmark, small, tmp_path, monkeypatch):
    run = benchmark('run')

    def run_cell(cell, rate, *args):
        if cell.seed == 0:
            raise RuntimeError('no such weights')
        return dict(
            dataset=cell.dataset, method=cell.method, seed=cell.seed, rate=rate, trunk='vit_s14_focus', score=1.0
        )

    monkeypatch.setattr(run, 'run_cell', run_cell)
    failed = run.run_all(run.chosen(small, ['small'], whole=False), small, tmp_path, 'cpu', jobs=2)
    assert failed == ['small/lora/0: no such weights']
    assert len(small.lines('small')) == 2


def test_learning_rates_come_first(benchmark, small):
    run = benchmark('run')
    cells = list(map(str, run.chosen(small, ['camvid_linear/lora/1'], whole=False)))
    assert cells == [f'camvid_linear/lora/rate={rate}' for rate in ('0.003', '0.01', '0.03')] + ['camvid_linear/lora/1']
    with pytest.raises(ValueError, match='camvidd.* tuning, camvid, small'):
        run.chosen(small, ['camvidd'], whole=False)


def test_costs_are_lines_of_json(benchmark, tmp_path, monkeypatch, capsys):
    costs = benchmark('costs')
    arguments = '--arch vit_tiny_patch16_224 --cases frozen full --size 32 --repeats 2'
    monkeypatch.setattr(sys, 'argv', ['costs.py', *arguments.split(), '--json', str(tmp_path / 'costs.jsonl')])
    costs.main()
    text = (tmp_path / 'costs.jsonl').read_text()
    assert text == capsys.readouterr().out
    lines = {line['case']: line for line in map(json.loads, text.splitlines())}
    assert lines['frozen']['forward_to_frozen'] == lines['full']['step_to_full'] == 1
    assert lines['frozen']['trained'] == 0 < lines['full']['trained']
    assert lines['full']['step_mb'] > lines['frozen']['step_mb'] > 0
