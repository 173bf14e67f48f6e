"""Masks of objects become panoptic annotations that mmdet reads, or none appear."""

import json
from functools import partial

import cv2
import numpy as np
import pytest
from mmengine.registry import DATASETS, init_default_scope
from pycocotools import mask

from .conftest import call as run_main
from .conftest import load_converter

call = partial(run_main, load_converter('coco_panoptic'))
HEIGHT, WIDTH = 20, 30
CATEGORIES = [dict(id=3, name='table'), dict(id=7, name='cup')]
# Rows and columns of each object, its category, whether it is a crowd.
OBJECTS = [
    (slice(5, 10), slice(4, 8), 7, 0),  # on the table, and smaller
    (slice(4, 16), slice(2, 20), 3, 0),
    (slice(0, 20), slice(10, 30), 7, 1),  # behind the table, though it is larger
    (slice(6, 9), slice(5, 7), 7, 0),  # in front of the first
]


def annotation(number: int, rows: slice, columns: slice, category: int, crowd: int, image: int = 1) -> dict:
    pixels = np.zeros((HEIGHT, WIDTH), np.uint8, order='F')
    pixels[rows, columns] = 1
    run_lengths = mask.encode(pixels)
    return dict(
        id=number, image_id=image, category_id=category, iscrowd=crowd, area=int(pixels.sum()),
        bbox=mask.toBbox(run_lengths).tolist(),
        segmentation=dict(size=[HEIGHT, WIDTH], counts=run_lengths['counts'].decode()),
    )  # fmt: skip


@pytest.fixture
def content():
    """A file of two images, of which the second is empty."""
    images = [dict(id=i, file_name=f'{i}.jpg', height=HEIGHT, width=WIDTH) for i in (1, 2)]
    annotations = [annotation(number, *one) for number, one in enumerate(OBJECTS, 1)]
    return dict(images=images, annotations=annotations, categories=CATEGORIES)


@pytest.fixture
def convert(content, tmp_path):
    """Convert the content into the folder; returns the line with which the tool gave up."""

    def run() -> str | None:
        (tmp_path / 'instances_some.json').write_text(json.dumps(content))
        return call(tmp_path / 'instances_some.json', tmp_path)

    return run


def test_mmdet_reads_things_and_the_rest(content, convert, tmp_path):
    for image in (1, 2):
        cv2.imwrite(str(tmp_path / f'{image}.jpg'), np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    assert convert() is None
    init_default_scope('mmdet')
    names = ('table', 'cup', 'other')
    dataset = DATASETS.build(
        dict(
            type='CocoPanopticDataset',
            data_root=str(tmp_path),
            ann_file='panoptic_some.json',
            data_prefix=dict(img='', seg='panoptic_some'),
            metainfo=dict(classes=names, thing_classes=names[:2], stuff_classes=names[2:]),
            pipeline=[dict(type='LoadImageFromFile'), dict(type='LoadPanopticAnnotations')],
        )
    )
    first, second = dataset
    expected = np.full((HEIGHT, WIDTH), 2)
    order = (2, 1, 0, 3)  # from the back to the front
    for number in order:
        rows, columns, category, _ = OBJECTS[number]
        expected[rows, columns] = (3, 7).index(category)
    np.testing.assert_array_equal(first['gt_seg_map'], expected)
    assert first['gt_bboxes_labels'].tolist() == [0, 1, 1] and not first['gt_ignore_flags'].any()
    areas = [18 * 12, 20 - 6, 6]  # the table has a hole, the first cup too
    assert [int(one.sum()) for one in first['gt_masks']] == [areas[0] - 20, *areas[1:]]
    assert first['gt_bboxes'].tensor.tolist()[0] == [2, 4, 20, 16]
    assert (second['gt_seg_map'] == 2).all() and not len(second['gt_masks'])
    annotations = json.loads((tmp_path / 'panoptic_some.json').read_text())['annotations']
    crowds = [one for one in annotations[0]['segments_info'] if one['iscrowd']]
    assert [one['category_id'] for one in crowds] == [7] and crowds[0]['area'] == 20 * 20 - 10 * 12


def test_an_object_that_is_not_seen_has_no_segment(content, convert, tmp_path):
    content['annotations'] = [annotation(n, slice(4, 8), slice(2, 6), category, 0) for n, category in ((1, 3), (2, 7))]
    assert convert() is None
    segments = json.loads((tmp_path / 'panoptic_some.json').read_text())['annotations'][0]['segments_info']
    assert [one['category_id'] for one in segments] == [8, 7] and [one['area'] for one in segments] == [600 - 16, 16]


def test_what_does_not_fit_is_refused(content, convert, tmp_path):
    assert call(tmp_path / 'none.json', tmp_path) == f'no annotation file {tmp_path / "none.json"}'
    bare = content['annotations'][1].pop('segmentation')
    assert 'annotation 2 has no mask ("segmentation"), expected one for each object' in convert()
    content['annotations'][1]['segmentation'] = bare
    content['images'][0]['file_name'] = '1.jpeg'
    assert 'the image 1.jpeg has another suffix than .jpg and .png' in convert()
    content['images'][0]['file_name'] = '1.jpg'
    content['categories'] = [*CATEGORIES, dict(id=9, name='other')]
    assert 'has a category other, expected none' in convert()
    content['categories'] = CATEGORIES
    assert not list(tmp_path.glob('panoptic*'))
    assert convert() is None
    assert sorted(path.name for path in tmp_path.glob('panoptic*')) == ['panoptic_some', 'panoptic_some.json']
    assert convert() == f'{tmp_path / "panoptic_some"} exists: name another folder, or move it away'
