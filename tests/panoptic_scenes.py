"""Scenes in COCO's layout with panoptic annotations, and what a config is told of them."""

import json
from pathlib import Path

from demo.scenes import write_coco

from .tools.conftest import call, load_converter


def write_panoptic(folder: Path, num_train: int, num_val: int, seed: int, size: tuple[int, int]) -> Path:
    """Synthetic scenes: the categories that occur are things, the rest of each image is `other`."""
    root = write_coco(folder / 'coco', num_train, num_val, seed=seed, size=size)
    paths = [root / f'annotations/instances_{split}2017.json' for split in ('train', 'val')]
    contents = [json.loads(path.read_text()) for path in paths]
    used = {one['category_id'] for content in contents for one in content['annotations']}
    for path, content in zip(paths, contents, strict=True):
        content['categories'] = [category for category in content['categories'] if category['id'] in used]
        path.write_text(json.dumps(content))
        assert call(load_converter('coco_panoptic'), path, root / 'annotations') is None
    return root


def panoptic_options(root: Path) -> dict:
    """Classes of the annotations in data sets and in Mask2Former's heads."""
    content = json.loads((root / 'annotations/panoptic_val2017.json').read_text())
    names = [category['name'] for category in content['categories']]
    things = [category['name'] for category in content['categories'] if category['isthing']]
    metainfo = dict(classes=names, thing_classes=things, stuff_classes=names[len(things) :])
    options: dict = {f'{split}_dataloader.dataset.metainfo': metainfo for split in ('train', 'val', 'test')}
    for head in ('panoptic_head', 'panoptic_fusion_head'):
        options |= {f'model.{head}.num_things_classes': len(things), f'model.{head}.num_stuff_classes': 1}
    options['model.panoptic_head.loss_cls.class_weight'] = [1.0] * len(names) + [0.1]
    return options
