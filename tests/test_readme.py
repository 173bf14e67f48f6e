"""The README's Python runs as it stands, and gives what its comments say."""

import re
from pathlib import Path

import cv2

from demo.scenes import render_scene

from .conftest import REPOSITORY


def test_the_quickstart_runs(monkeypatch, tmp_path):
    (block,) = re.findall(r'```python\n(from PIL.*?)```', (REPOSITORY / 'README.md').read_text(), flags=re.DOTALL)
    assert len([line for line in block.splitlines() if line]) <= 12
    (name,) = re.findall(r"Image.open\('(.*?)'\)", block)
    image = tmp_path / name  # one as `make demo` draws them, in its place
    image.parent.mkdir(parents=True)
    cv2.imwrite(str(image), render_scene((9, 0), (192, 144)).image[..., ::-1])
    Path(tmp_path / 'demo/trunk').symlink_to(REPOSITORY / 'demo/trunk')
    monkeypatch.chdir(tmp_path)
    found: dict = {}
    exec(block, found)
    assert abs(found['images'].mean()) < 2 and found['images'].std() > 0.3
    assert [tuple(feature_map.shape) for feature_map in found['maps']] == [(1, 96, 18, 24)] * 4
    assert tuple(found['guidance'].shape) == (1, 18, 24) and found['guidance'].max() == 1
    assert {layer: tuple(gate.shape) for layer, gate in found['gates'].items()} == dict.fromkeys(
        found['model'].adapters['daga'].layers, (1, 1, 96)
    )
