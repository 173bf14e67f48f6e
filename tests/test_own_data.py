"""The configs in docs/own_data.md: each trains and validates as it stands, on synthetic scenes and the small trunk."""

import json
import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.registry import RUNNERS, DefaultScope

import daga_mm
from daga_mm.cli.config import load_config
from daga_mm.cli.data import require_data
from demo.scenes import write_ade20k, write_coco, write_imagenet, write_nyu

from .configs.shrink import shrink
from .conftest import REPOSITORY

PAGE = (REPOSITORY / 'docs/own_data.md').read_text()
CONFIGS = dict(re.findall(r'^```python\n# (\w+)\.py\n(.*?)^```', PAGE, flags=re.DOTALL | re.MULTILINE))
TRUNK = dict(patch_size=8, embed_dim=96, depth=8, num_heads=3)  # of demo/trunk
SIZE = (96, 64)  # width, height
SCORES = {
    'instances': 'coco/segm_mAP',
    'detection': 'coco/bbox_mAP',
    'semantic': 'mIoU',
    'depth': 'rmse',
    'classification': 'accuracy/top1',
}


@pytest.fixture(scope='module')
def scenes(tmp_path_factory) -> Path:
    """Folders with data/rooms as the page describes it, by what it is for."""
    folder = tmp_path_factory.mktemp('scenes')
    write_coco(folder / 'coco', 2, 2, size=SIZE)
    write_ade20k(folder / 'ade20k', 2, 2, size=SIZE)
    write_nyu(folder / 'nyu', 2, 2, size=SIZE)
    write_imagenet(folder / 'imagenet', 14, 14, size=(64, 64))
    return folder


def instances(scenes: Path, rooms: Path) -> None:
    names = ('chair', 'couch', 'potted plant')
    for split in ('train', 'val'):
        shutil.copytree(scenes / f'coco/{split}2017', rooms / split)
        found = json.loads((scenes / f'coco/annotations/instances_{split}2017.json').read_text())
        numbers = {c['id']: 1 + names.index(c['name']) for c in found['categories'] if c['name'] in names}
        found['annotations'] = [
            annotation | dict(category_id=numbers.get(annotation['category_id'], 1))
            for annotation in found['annotations']
        ]
        found['categories'] = [dict(id=1 + index, name=name) for index, name in enumerate(names)]
        (rooms / f'{split}.json').write_text(json.dumps(found))


def semantic(scenes: Path, rooms: Path) -> None:
    source = scenes / 'ade20k/ADEChallengeData2016'
    for ours, theirs in (('train', 'training'), ('val', 'validation')):
        shutil.copytree(source / 'images' / theirs, rooms / 'images' / ours)
        (rooms / 'labels' / ours).mkdir(parents=True)
        for path in (source / 'annotations' / theirs).iterdir():
            classes = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
            labels = np.select([classes == 0, classes == 1, classes == 4], [255, 0, 1], 2).astype(np.uint8)
            cv2.imwrite(str(rooms / 'labels' / ours / path.name), labels)


def depth(scenes: Path, rooms: Path) -> None:
    for kind, folder in (('images', 'images'), ('annotations', 'depth')):
        for theirs, ours in (('train', 'train'), ('test', 'val')):
            shutil.copytree(scenes / 'nyu' / kind / theirs, rooms / folder / ours)


def classification(scenes: Path, rooms: Path) -> None:
    for path in (scenes / 'imagenet').glob('*/*/*'):
        target = rooms / path.parent.relative_to(scenes / 'imagenet') / f'{path.stem}.jpg'
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)


WRITERS = dict(instances=instances, detection=instances, semantic=semantic, depth=depth, classification=classification)


def small(config):
    """The config on the small trunk, with narrow heads, images of 96×64 and an epoch of two images."""
    checkpoint = REPOSITORY / 'demo/trunk/vit_scenes.safetensors'
    config = shrink(config, str(checkpoint), TRUNK)
    for loader in (config.train_dataloader, config.val_dataloader):
        loader.update(batch_size=2, num_workers=0, persistent_workers=False, pin_memory=False)
        for step in loader.dataset.pipeline:
            if step.type in ('Resize', 'RandomResize'):
                step.scale = SIZE
            elif step.type == 'RandomCrop':
                step.crop_size = SIZE[::-1]
            elif step.type in ('RandomResizedCrop', 'CenterCrop'):
                step['scale' if 'scale' in step else 'crop_size'] = 32
    if 'size' in config.model.data_preprocessor:
        config.model.data_preprocessor.size = SIZE[::-1]
    if 'filter_cfg' in config.train_dataloader.dataset:
        config.train_dataloader.dataset.filter_cfg.min_size = 1
        config.model.test_cfg.rcnn.update(score_thr=0.0, max_per_img=10)  # the untrained head is sure of nothing
        config.model.test_cfg.rpn.max_per_img = config.model.train_cfg.rpn_proposal.max_per_img = 50
        config.model.train_cfg.rcnn.sampler.num = 16
    if config.model.get('test_cfg', {}).get('mode') == 'slide':
        config.model.test_cfg.update(crop_size=(64, 64), stride=(43, 43))
    if 'max_iters' in config.train_cfg:
        config.train_cfg.update(max_iters=1, val_interval=1)
    else:
        config.train_cfg.update(max_epochs=1)
    return config


def test_the_page_has_a_config_of_every_task():
    assert list(CONFIGS) == list(SCORES)


@pytest.mark.parametrize('name', SCORES)
def test_it_trains_and_validates(name, scenes, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    WRITERS[name](scenes, tmp_path / 'data/rooms')
    for other, text in CONFIGS.items():
        Path(f'{other}.py').write_text(text)
    config = load_config(f'{name}.py')
    require_data(config, 'train', 'val', 'test')
    config = small(config)
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope(config.default_scope):
        runner = RUNNERS.build(config)
        runner.train()
    assert runner.iter >= 1 and runner.model.backbone.fingerprints()['trunk']
    best = config.default_hooks.checkpoint.get('save_best')
    assert best in (None, SCORES[name])
    assert f'val/{SCORES[name]}' in runner.message_hub.log_scalars


def test_a_config_that_does_not_exist_is_named():
    with pytest.raises(FileNotFoundError, match=r'mmseg/upernet.py .*configs'):
        daga_mm.config_path('mmseg/upernet.py')
