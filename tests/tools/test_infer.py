"""What tools/infer.py writes; what it is over is tested in tests/apis."""

import os
import subprocess
import sys
from contextlib import redirect_stdout
from io import StringIO

import cv2
import pytest

from ..conftest import REPOSITORY, SAMPLES
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


@pytest.mark.parametrize('task', ['detection', 'segmentation'])
def test_an_image_of_one_tile_has_the_result_of_the_whole(task, models, pictures, tmp_path):
    options = {'whole': (), 'one': ('--tile', '96'), 'cut': ('--tile', '48', '--overlap', '8', '--batch-size', '2')}
    for name, tiles in options.items():
        infer(pictures, models[task], tmp_path / name, '--score', '0', *tiles)
    file = 'preds/a.json' if task == 'detection' else 'preds/a.png'
    whole, one, cut = ((tmp_path / name / file).read_bytes() for name in options)
    assert whole == one != cut
    assert cv2.imread(str(tmp_path / 'cut/vis/a.png')).shape == (72, 96, 3)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--overlap', '3'], '--overlap is for tiles: give their SIZE, --tile'),
        (['--tile', '64', '--overlap', '64'], '--overlap is 64, expected 0 to 63, less than --tile'),
        (['--tile', '0'], 'argument --tile: expected a positive integer, got 0'),
    ],
)
def test_tiles_that_cannot_be_are_refused(arguments, message, pictures, tmp_path, capsys):
    assert call(load_tool('infer'), pictures, 'c.py', 'c.pth', '--out', tmp_path, *arguments) == 2
    assert message in capsys.readouterr().err


def test_tiles_are_of_detectors_and_segmentors(models, pictures, tmp_path):
    message = call(load_tool('infer'), pictures, *models['depth'], '--out', tmp_path, '--tile', '64')
    assert 'this model is for depth, expected detection or segmentation' in message


@pytest.mark.slow
@pytest.mark.parametrize('task', ['detection', 'segmentation'])
def test_a_photograph_of_24_megapixels_is_predicted_in_bounded_memory(task, models, tmp_path):
    """Logits of 150 classes would be 14 GB of it, and a hundred masks 2.4 GB; what is imported takes 1 GB."""
    photographs = sorted(SAMPLES.glob('coco_tiny/val2017/*.jpg'))
    if not photographs:
        pytest.skip(f'no photographs in {SAMPLES}/coco_tiny/val2017')
    (tmp_path / 'images').mkdir()
    large = cv2.resize(cv2.imread(str(photographs[0])), (6000, 4000), interpolation=cv2.INTER_CUBIC)
    cv2.imwrite(str(tmp_path / 'images/large.jpg'), large)
    arguments = [tmp_path / 'images', *models[task], '--tile', '1024', '--device', 'cpu', '--out', tmp_path / 'out']
    with subprocess.Popen([sys.executable, REPOSITORY / 'tools/infer.py', *map(str, arguments)], cwd=tmp_path) as run:
        _, status, usage = os.wait4(run.pid, 0)
        run.returncode = os.waitstatus_to_exitcode(status)
    assert run.returncode == 0
    assert usage.ru_maxrss / 2**20 < 3, 'GiB'
    assert cv2.imread(str(tmp_path / 'out/vis/large.png')).shape == (4000, 6000, 3)


def test_pictures_that_would_be_one_are_refused(pictures, tmp_path):
    for name in ('a.jpg', 'a.png'):
        (tmp_path / name).write_bytes((pictures / 'b.jpg').read_bytes())
    message = call(load_tool('infer'), tmp_path, 'c.py', 'c.pth', '--out', tmp_path)
    assert 'and their pictures would be one: a' in message
