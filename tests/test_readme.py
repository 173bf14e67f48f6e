"""The README's Python runs as it stands, gives what its comments say, and its figures are measured ones."""

import re
from pathlib import Path

import cv2

from demo.scenes import render_scene

from .conftest import REPOSITORY

README = (REPOSITORY / 'README.md').read_text()


def test_it_is_short():
    assert len(README.splitlines()) < 120


def test_costs_are_those_of_the_page_of_measurements():
    page = (REPOSITORY / 'docs/performance.md').read_text()
    table = page[page.index('\nViT-B/16:') : page.index('Few parameters do not mean')]
    measured = {}
    for name, *cells in (row.strip('| ').split(' | ') for row in table.splitlines() if row.count('|') == 9):
        measured[re.split(', |$', name)[0]] = [cells[0], *cells[2::2]]  # the parameters, and the columns of 512²
    rows = re.findall(
        r'^\| ([\w -]+?)(?: trunk)? \| ([\d,]+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|$', README, flags=re.MULTILINE
    )
    assert len(rows) == 5 and all(measured[name] == figures for name, *figures in rows)


def test_the_quickstart_runs(monkeypatch, tmp_path):
    (block,) = re.findall(r'```python\n(from PIL.*?)```', README, flags=re.DOTALL)
    assert len([line for line in block.splitlines() if line]) <= 12
    (name,) = re.findall(r"Image.open\('(.*?)'\)", block)
    image = tmp_path / name  # one as `make demo` draws them, in its place
    image.parent.mkdir(parents=True)
    cv2.imwrite(str(image), render_scene((9, 0), (128, 96)).image[..., ::-1])
    Path(tmp_path / 'demo/trunk').symlink_to(REPOSITORY / 'demo/trunk')
    monkeypatch.chdir(tmp_path)
    found: dict = {}
    exec(block, found)
    assert abs(found['images'].mean()) < 2 and found['images'].std() > 0.3
    assert [tuple(feature_map.shape) for feature_map in found['maps']] == [(1, 96, 12, 16)] * 4
    assert tuple(found['guidance'].shape) == (1, 12, 16) and found['guidance'].max() == 1
    assert {layer: tuple(gate.shape) for layer, gate in found['gates'].items()} == dict.fromkeys(
        found['model'].adapters['daga'].layers, (1, 1, 96)
    )
