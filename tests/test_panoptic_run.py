"""A panoptic config as a run: data, heads, evaluators and pictures fit each other, or the user hears why not."""

import json
import re
import sys

import cv2
import numpy as np
import pytest
from mmengine.registry import METRICS, RUNNERS, TRANSFORMS, VISUALIZERS, init_default_scope
from mmengine.structures import PixelData

from daga_mm.cli.config import load_config
from daga_mm.cli.data import require_data
from daga_mm.cli.dry_run import dry_run
from daga_mm.engine.run_errors import run_errors
from daga_mm.errors import PANOPTICAPI, RunError

from .configs.shrink import shrink
from .conftest import REPOSITORY, write_trunk
from .panoptic_scenes import panoptic_options, write_panoptic
from .tools.conftest import call, load_converter

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
    config.visualizer.name = str(tmp_path)  # no other test's
    require_data(config, 'train', 'val')
    report = dry_run(shrink(config, write_trunk(tmp_path / 'trunk.safetensors')), RUNNERS.build)
    assert 'coco_panoptic/PQ' in report and 'one picture drawn' in report


def test_annotations_of_other_classes_are_refused(coco, tmp_path, monkeypatch):
    """COCO's own 133 classes, and a file with a few things and `other`."""
    monkeypatch.setenv('COCO_ROOT', str(coco))
    config = shrink(load_config(CONFIG, {'log_level': 'WARNING', 'train_dataloader.num_workers': 0}, str(tmp_path)))
    with pytest.raises(RunError, match=r'panoptic_train2017\.json has segments of other'):
        RUNNERS.build(config).train()


def test_a_config_for_classes_of_ones_own_reads_them(tmp_path):
    """docs/heads.md's, on annotations that its command makes."""
    (block,) = re.findall(
        r'^```python\n(.*?)^```', (REPOSITORY / 'docs/heads.md').read_text(), re.DOTALL | re.MULTILINE
    )
    path, root = tmp_path / 'own.py', tmp_path / 'own'
    path.write_text(block.replace('data/own', str(root)))
    for number, split in enumerate(('train', 'val')):
        write_tables(root, split, number)
    config = load_config(path, work_dir=str(tmp_path))
    require_data(config, 'train', 'val', 'test')
    config = shrink(config)
    config.log_level = 'WARNING'
    runner = RUNNERS.build(config)
    for split in ('train', 'val'):
        loader = runner.build_dataloader(dict(config[f'{split}_dataloader'], num_workers=0))
        sample = loader.dataset[0]['data_samples']
        assert sample.gt_instances.labels.tolist() == [0, 1]
        assert np.unique(sample.gt_sem_seg.sem_seg).tolist() == [0, 1, 2]
    runner.build_val_loop(dict(type='ValLoop'))


def write_tables(root, split: str, number: int) -> None:
    """An image with a table and a cup on it, and its annotations."""
    (root / 'images').mkdir(parents=True, exist_ok=True)
    (root / 'annotations').mkdir(exist_ok=True)
    image = dict(id=number, file_name=f'{split}.jpg', width=60, height=40)
    cv2.imwrite(str(root / 'images' / image['file_name']), np.full((40, 60, 3), 90, np.uint8))
    annotations = []
    for key, (category, left, top, width, height) in enumerate(((1, 5, 10, 50, 20), (2, 20, 12, 10, 10)), 1):
        polygon = [left, top, left + width, top, left + width, top + height, left, top + height]
        shape = dict(bbox=[left, top, width, height], area=width * height, segmentation=[polygon], iscrowd=0)
        annotations.append(dict(id=key, image_id=number, category_id=category, **shape))
    categories = [dict(id=1, name='table'), dict(id=2, name='cup')]
    path = root / f'annotations/instances_{split}.json'
    path.write_text(json.dumps(dict(images=[image], annotations=annotations, categories=categories)))
    assert call(load_converter('coco_panoptic'), path, root / 'annotations') is None


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
