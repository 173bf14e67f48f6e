"""Pictures of what a model sees, for the tasks that tests/test_runner.py does not train."""

import json
import os
import subprocess
import sys
from contextlib import redirect_stdout
from io import StringIO

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from demo.scenes import render_scene

from ..configs.shrink import shrink
from ..conftest import REPOSITORY, SAMPLES
from .conftest import call, load_tool

DETECTION = 'mmdet/mask-rcnn_daga-vits16_vitadapter_8xb2-1x_coco.py'
SEGMENTATION = 'mmseg/fcn_daga-vits16_linear_8xb2-40k_ade20k-512x512.py'
DEPTH = 'depth/depth_daga-vits16_linear_8xb2-38400iters_nyu-416x544.py'
CLASSIFICATION = 'mmpretrain/image-classifier_daga-vits16_linear_8xb128-30e_cifar10.py'


@pytest.fixture(scope='module')
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp('images')
    for index, name in enumerate(('a.png', 'b.jpg')):
        cv2.imwrite(str(folder / name), render_scene((9, index), (96, 72)).image[..., ::-1])
    return folder


def small_model(config_name, folder, meta=None, **changes):
    """The files of a small random model: its config and its checkpoint."""
    config = shrink(Config.fromfile(REPOSITORY / 'configs' / config_name))
    config.merge_from_dict(changes)
    init_default_scope(config.default_scope)
    torch.manual_seed(0)
    torch.save({'state_dict': MODELS.build(config.model).state_dict(), 'meta': meta or {}}, folder / 'random.pth')
    config.dump(folder / 'config.py')
    return folder / 'config.py', folder / 'random.pth'


def infer(config_name, images, out, *arguments, meta=None, **changes):
    """Draw with a small random model; returns the pictures by name."""
    out.mkdir()
    files = small_model(config_name, out, meta, **changes)
    with redirect_stdout(StringIO()) as said:
        assert call(load_tool('infer'), images, *files, '--device', 'cpu', '--out', out, *arguments) is None
    assert '2 pictures in' in said.getvalue()
    return {path.name: cv2.imread(str(path)) for path in (out / 'vis').iterdir()}


def test_detections_are_drawn_and_written(images, tmp_path):
    changes = {'test_dataloader.dataset.pipeline.1.scale': (96, 64), 'model.test_cfg.rcnn.score_thr': 0.0}
    drawn = infer(DETECTION, images, tmp_path / 'out', '--score', '0', **changes)
    assert set(drawn) == {'a.png', 'b.jpg'}
    for name, picture in drawn.items():
        found = json.loads((tmp_path / 'out/preds' / name).with_suffix('.json').read_text())
        assert picture.shape == (72, 96, 3) and len(found['bboxes']) == len(found['masks']) > 0
        assert np.abs(picture.astype(int) - cv2.imread(str(images / name))).mean() > 5, 'nothing is drawn'


def test_label_maps_bear_the_names_of_their_images(images, tmp_path):
    (tmp_path / 'images').mkdir()
    sizes = {'00000001_pred.png': (48, 64), 'a.jpg': (72, 96)}  # high, wide; the first as mmseg would name the second's
    for name, (height, width) in sizes.items():
        cv2.imwrite(str(tmp_path / 'images' / name), cv2.imread(str(images / 'a.png'))[:height, :width])
    changes = {'model.test_cfg': dict(_delete_=True, mode='whole')}
    changes['test_dataloader.dataset.pipeline.1.scale'] = (96, 72)
    meta = dict(classes=[f'class {i}' for i in range(150)], palette=[[i, 255 - i, i] for i in range(150)])
    drawn = infer(SEGMENTATION, tmp_path / 'images', tmp_path / 'out', meta={'dataset_meta': meta}, **changes)
    assert set(drawn) == set(sizes)
    assert {path.name for path in (tmp_path / 'out').iterdir()} == {'config.py', 'pred', 'random.pth', 'vis'}
    maps = {path.name: cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in (tmp_path / 'out/pred').iterdir()}
    assert {name: labels.shape for name, labels in maps.items()} == {'00000001_pred.png': (48, 64), 'a.png': (72, 96)}
    assert all(labels.dtype == np.uint8 and labels.max() < 150 for labels in maps.values())


def test_an_image_of_one_tile_has_the_detections_of_the_whole(images, tmp_path):
    changes = {'test_dataloader.dataset.pipeline.1.scale': (96, 64), 'model.test_cfg.rcnn.score_thr': 0.0}
    infer(DETECTION, images, tmp_path / 'whole', **changes)
    options = {'one': ('--tile', '96'), 'cut': ('--tile', '48', '--overlap', '8', '--batch-size', '2')}
    pictures, cut = (
        infer(DETECTION, images, tmp_path / name, '--score', '0', *tiles, **changes) for name, tiles in options.items()
    )
    for name, picture in pictures.items():
        whole, one, several = (
            json.loads((tmp_path / out / 'preds' / name).with_suffix('.json').read_text())
            for out in ('whole', 'one', 'cut')
        )
        assert one == whole and several['scores'] == sorted(several['scores'], reverse=True)
        assert several != whole and set(several) == set(whole) and {len(values) for values in several.values()} != {0}
        assert {tuple(mask['size']) for mask in several['masks']} == {(72, 96)}
        assert picture.shape == cut[name].shape == (72, 96, 3)
        original = cv2.imread(str(images / name)).astype(int)
        assert all(np.abs(drawn - original).mean() > 5 for drawn in (picture, cut[name])), 'nothing is drawn'


def test_an_image_of_one_tile_has_the_label_map_of_the_whole(images, tmp_path):
    changes = {'model.test_cfg': dict(_delete_=True, mode='whole')}
    changes['test_dataloader.dataset.pipeline.1.scale'] = (96, 72)
    meta = dict(classes=[f'class {i}' for i in range(150)], palette=[[i, 255 - i, i] for i in range(150)])
    maps = {}
    for name, options in (('whole', ()), ('one', ('--tile', '96')), ('cut', ('--tile', '48', '--batch-size', '3'))):
        drawn = infer(SEGMENTATION, images, tmp_path / name, *options, meta={'dataset_meta': meta}, **changes)
        assert {picture.shape for picture in drawn.values()} == {(72, 96, 3)}
        maps[name] = cv2.imread(str(tmp_path / name / 'pred/a.png'), cv2.IMREAD_UNCHANGED)
    assert (maps['one'] == maps['whole']).all() and maps['cut'].shape == (72, 96)
    assert 0 < (maps['cut'] != maps['whole']).mean() < 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ('task', 'changes'),
    [(DETECTION, {'model.test_cfg.rcnn.score_thr': 0.0}), (SEGMENTATION, {'model.decode_head.num_classes': 40})],
)
def test_a_photograph_of_24_megapixels_is_predicted_in_bounded_memory(task, changes, tmp_path):
    """The logits of 40 classes alone are 3.8 GB of it, and a hundred masks 2.4 GB; what is imported takes 1 GB."""
    photographs = sorted(SAMPLES.glob('coco_tiny/val2017/*.jpg'))
    if not photographs:
        pytest.skip(f'no photographs in {SAMPLES}/coco_tiny/val2017')
    (tmp_path / 'images').mkdir()
    large = cv2.resize(cv2.imread(str(photographs[0])), (6000, 4000), interpolation=cv2.INTER_CUBIC)
    cv2.imwrite(str(tmp_path / 'images/large.jpg'), large)
    model = small_model(task, tmp_path, **changes)
    arguments = [tmp_path / 'images', *model, '--tile', '1024', '--device', 'cpu', '--out', tmp_path / 'out']
    with subprocess.Popen([sys.executable, REPOSITORY / 'tools/infer.py', *map(str, arguments)], cwd=tmp_path) as run:
        _, status, usage = os.wait4(run.pid, 0)
        run.returncode = os.waitstatus_to_exitcode(status)
    assert run.returncode == 0
    assert usage.ru_maxrss / 2**20 < 2.5, 'GiB'
    assert cv2.imread(str(tmp_path / 'out/vis/large.jpg')).shape == (4000, 6000, 3)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--overlap', '3'], '--overlap is for tiles: give their SIZE, --tile'),
        (['--tile', '64', '--overlap', '64'], '--overlap is 64, expected 0 to 63, less than --tile'),
        (['--tile', '0'], 'argument --tile: expected a positive integer, got 0'),
    ],
)
def test_tiles_that_cannot_be_are_refused(arguments, message, images, tmp_path, capsys):
    assert call(load_tool('infer'), images, 'c.py', 'c.pth', '--out', tmp_path, *arguments) == 2
    assert message in capsys.readouterr().err


def test_tiles_are_of_detectors_and_segmentors(images, tmp_path):
    config, checkpoint = small_model(DEPTH, tmp_path)
    message = call(load_tool('infer'), images, config, checkpoint, '--out', tmp_path, '--tile', '64')
    assert f'--tile is for detection and segmentation, and {config} is of depth' in message


def test_classes_are_drawn_and_written(images, tmp_path):
    classes = [f'class {i}' for i in range(10)]
    drawn = infer(CLASSIFICATION, images, tmp_path / 'out', meta={'dataset_meta': {'classes': classes}})
    assert set(drawn) == {'a.png', 'b.png'}
    predictions = json.loads((tmp_path / 'out/predictions.json').read_text())
    assert list(predictions) == [str(images / 'a.png'), str(images / 'b.jpg')]
    assert all(one['pred_class'] == classes[one['pred_label']] for one in predictions.values())


def test_pictures_that_would_be_one_are_refused(images, tmp_path):
    for name in ('a.jpg', 'a.png'):
        (tmp_path / name).write_bytes((images / 'b.jpg').read_bytes())
    message = call(load_tool('infer'), tmp_path, 'c.py', 'c.pth', '--out', tmp_path)
    assert 'whose pictures would be one: a' in message


def test_depth_is_drawn_and_written_in_millimetres(images, tmp_path):
    drawn = infer(DEPTH, images, tmp_path / 'out', '--focal-length', '60')
    assert set(drawn) == {'a.png', 'b.png'}
    for name, picture in drawn.items():
        depth = cv2.imread(str(tmp_path / 'out/depth' / name), cv2.IMREAD_UNCHANGED)
        assert depth.dtype == np.uint16 and depth.shape == (72, 96) and 1 <= depth.min() <= depth.max() <= 10000
        assert picture.shape[0] > 480 and picture.shape[1] > 2 * 640
        points = (tmp_path / 'out/points' / name).with_suffix('.ply').read_bytes()
        assert points.startswith(b'ply') and b'element vertex 6912' in points


def test_depth_beyond_65_m_is_written_in_kittis_steps(images, tmp_path):
    infer(DEPTH, images, tmp_path / 'out', **{'model.decode_head.max_depth': 80})
    depth = cv2.imread(str(tmp_path / 'out/depth/a.png'), cv2.IMREAD_UNCHANGED) / 256
    assert 20 < depth.mean() < 60, 'a random model sees the middle of its range'
