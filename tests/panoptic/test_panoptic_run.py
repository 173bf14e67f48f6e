"""A panoptic config as a run: data, heads, evaluators and pictures fit each other, or the user hears why not."""

import sys

import cv2
import numpy as np
import pytest
from mmengine.registry import METRICS, RUNNERS, TRANSFORMS, VISUALIZERS, init_default_scope
from mmengine.structures import PixelData

from daga_mm.cli.config import load_config
from daga_mm.cli.data import require_data
from daga_mm.engine import RunError, dry_run
from daga_mm.engine.errors import run_errors
from daga_mm.errors import PANOPTICAPI

from ..configs.shrink import shrink
from ..conftest import REPOSITORY, write_trunk
from .scenes import panoptic_options, write_panoptic

CONFIG = REPOSITORY / 'configs/mmdet/mask2former_daga-vits16_vitadapter_8xb2-ms-3x_coco-panoptic.py'


@pytest.fixture(scope='module')
def coco(tmp_path_factory):
    return write_panoptic(tmp_path_factory.mktemp('scenes'), 2, 2, seed=3, size=(96, 72))


def test_a_dry_run_validates_and_draws(coco, tmp_path, monkeypatch):
    monkeypatch.setenv('COCO_ROOT', str(coco))
    options = panoptic_options(coco) | {
        'model.panoptic_head.num_queries': 10,
        'model.train_cfg.num_points': 100,
        'train_dataloader.dataset.pipeline.3.transforms': [[dict(type='Resize', scale=(96, 64), keep_ratio=True)]],
        'log_level': 'WARNING',
    }
    for split in ('train', 'val'):
        options[f'{split}_dataloader.num_workers'] = 0
    options['val_dataloader.dataset.pipeline.1.scale'] = (96, 64)
    config = load_config(CONFIG, options, str(tmp_path / 'run'))
    require_data(config, 'train', 'val')
    report = dry_run(shrink(config, write_trunk(tmp_path / 'trunk.safetensors')), RUNNERS.build)
    assert 'coco_panoptic/PQ' in report and 'one picture drawn' in report


def test_annotations_of_other_classes_are_refused(coco, tmp_path, monkeypatch):
    """COCO's own 133 classes, and a file with a few things and `other`."""
    monkeypatch.setenv('COCO_ROOT', str(coco))
    config = shrink(load_config(CONFIG, {'log_level': 'WARNING', 'train_dataloader.num_workers': 0}, str(tmp_path)))
    with pytest.raises(
        RunError, match=r'panoptic_train2017\.json has segments of other, which is not among the classes'
    ):
        RUNNERS.build(config).train()


@pytest.mark.parametrize('registry', [TRANSFORMS, METRICS])
def test_an_absent_panopticapi_is_named_by_its_package(registry, tmp_path, monkeypatch):
    kind = registry.get(f'mmdet.{"LoadPanopticAnnotations" if registry is TRANSFORMS else "CocoPanopticMetric"}')
    monkeypatch.setitem(sys.modules, 'panopticapi', None)
    monkeypatch.setattr('mmdet.evaluation.metrics.coco_panoptic_metric.panopticapi', None)
    with pytest.raises(RunError, match=r'pip install --no-deps panopticapi-lite=='), run_errors(tmp_path):
        kind()
    wanted = (REPOSITORY / 'requirements/panoptic.txt').read_text().splitlines()[-1].split()[0]
    assert f'pip install --no-deps {wanted}' == PANOPTICAPI


def test_a_picture_without_a_segment_is_the_image():
    init_default_scope('mmdet')
    drawer = VISUALIZERS.build(dict(type='daga_mm.PanopticVisualizer', name='test_panoptic'))
    image = np.full((20, 30, 3), 90, np.uint8)
    segments = np.full((1, 20, 30), 2)
    names, colours = ['chair', 'floor'], [(255, 0, 0), (0, 0, 255)]
    assert drawer._draw_panoptic_seg(image, PixelData(sem_seg=segments), names, colours) is image
    segments[:, :, 15:] = 1000  # the first chair
    drawn = drawer._draw_panoptic_seg(image, PixelData(sem_seg=segments), names, colours)
    left, right = cv2.split(drawn[5:15, :10])[0], cv2.split(drawn[2:5, 26:])[0]
    assert (left == 90).all() and (right > 150).all()
