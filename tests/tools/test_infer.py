"""What tools/infer.py writes; what it is over is tested in tests/apis."""

from contextlib import redirect_stdout
from io import StringIO

import cv2
import pytest

from ..small_models import CONFIGS
from .conftest import call, load_tool


def infer(pictures, model, out, *arguments) -> None:
    options = ['--device', 'cpu', '--out', out, *arguments]
    with redirect_stdout(StringIO()) as said:
        assert call(load_tool('infer'), pictures, *model, *options) is None
    assert f'2 pictures in {out / "vis"}' in said.getvalue()


@pytest.mark.parametrize('task', CONFIGS)
def test_pictures_and_predictions_bear_the_names_of_their_images(task, models, pictures, tmp_path):
    infer(pictures, models[task], tmp_path, '--score', '0', '--focal-length', '60', '--batch-size', '2')
    suffix = 'json' if task in ('detection', 'classification') else 'png'
    expected = {'vis': {'a.png', 'b.png'}, 'preds': {f'a.{suffix}', f'b.{suffix}'}}
    if task == 'depth':
        expected['points'] = {'a.ply', 'b.ply'}
        points = (tmp_path / 'points/a.ply').read_bytes()
        assert points.startswith(b'ply') and b'element vertex 6912' in points
    assert {folder.name: {file.name for file in folder.iterdir()} for folder in tmp_path.iterdir()} == expected
    assert cv2.imread(str(tmp_path / 'vis/a.png')).std() > 1


def test_pictures_that_would_be_one_are_refused(pictures, tmp_path):
    for name in ('a.jpg', 'a.png'):
        (tmp_path / name).write_bytes((pictures / 'b.jpg').read_bytes())
    message = call(load_tool('infer'), tmp_path, 'c.py', 'c.pth', '--out', tmp_path)
    assert 'and their pictures would be one: a' in message
