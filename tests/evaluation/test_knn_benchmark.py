"""The benchmark of the neighbour search: the searches agree, and a wrong one would be seen."""

import importlib.util
import json
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from ..conftest import REPOSITORY

TOOL = REPOSITORY / 'tools/analysis_tools/knn_benchmark.py'


@pytest.fixture(scope='module')
def tool():
    spec = importlib.util.spec_from_file_location('knn_benchmark', TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_it_compares_what_is_installed(tool, tmp_path, monkeypatch, capsys):
    def run(*arguments):
        monkeypatch.setattr(sys, 'argv', ['knn_benchmark.py', *map(str, arguments)])
        tool.main()

    save_file(
        {
            'features': torch.randn(250, 32, generator=torch.Generator().manual_seed(0)),
            'labels': torch.zeros(250, dtype=torch.long),
        },
        tmp_path / 'bank.safetensors',
    )
    run('--bank', tmp_path / 'bank.safetensors', '--test', 40, '--k', 20, '--json', tmp_path / 'knn.json')
    figures = json.loads((tmp_path / 'knn.json').read_text())
    assert {key: figures[key] for key in ('train', 'test', 'dim', 'k')} == {
        'train': 210,
        'test': 40,
        'dim': 16,
        'k': 20,
    }
    assert {'daga_mm', 'scikit-learn'} <= set(figures['searches'])
    assert all(row['same_neighbours'] == 1 and row['seconds'] > 0 for row in figures['searches'].values())
    if importlib.util.find_spec('faiss') is None:
        assert '| faiss        | not installed |' in capsys.readouterr().out
    with pytest.raises(SystemExit, match='has 250 features: --test must be fewer'):
        run('--bank', tmp_path / 'bank.safetensors', '--test', 250)


def test_another_neighbour_is_seen_and_an_equally_near_one_is_none(tool):
    train, test = tool.draw(300, 20, 16, seed=0)
    assert np.array_equal(tool.draw(300, 20, 16, seed=0)[0], train)
    train[7] = train[6]
    found = tool.by_daga_mm(train, test, 10)
    wrong = found.copy()
    wrong[:5, 3] = wrong[:5, 2]  # the same one twice
    wrong[5:8, [0, 9]] = wrong[5:8, [9, 0]]  # in another order
    assert tool.agreement(train, test, found, found) == 1 and tool.agreement(train, test, wrong, found) == 12 / 20
    twins = np.where(found == 6, 7, np.where(found == 7, 6, found))
    assert tool.agreement(train, test, twins, found) == 1
