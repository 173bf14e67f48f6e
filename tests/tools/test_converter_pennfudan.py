"""Penn-Fudan's masks become COCO's annotations, or no folder appears."""

import json
from functools import partial

import cv2
import numpy as np
import pytest
from mmengine.registry import DATASETS, init_default_scope

from .conftest import call as run_main
from .conftest import load_converter

pytest.importorskip('pycocotools', reason='masks are written as run lengths')
pennfudan = load_converter('pennfudan')
call = partial(run_main, pennfudan)
# Test images of the 170, as drawn; the first are FudanPed00005, 6, 8, 9.
TEST_IDS = {
    5, 6, 8, 9, 17, 19, 20, 25, 27, 31, 34, 38, 45, 46, 52, 55, 56, 57, 61, 62, 64, 67, 75, 84, 93, 97, 98, 99, 102,
    107, 109, 110, 111, 114, 120, 122, 126, 132, 134, 137, 140, 142, 145, 153, 154, 156, 158, 162, 168, 169,
}  # fmt: skip


def mask_of(index: int) -> np.ndarray:
    """A mask (30, 40) of index + 1 pedestrians: bars whose heights differ."""
    mask = np.zeros((30, 40), np.uint8)
    for number in range(1, index + 2):
        mask[3 : 10 + number, 10 * number - 8 : 10 * number - 2] = number
    return mask


@pytest.fixture
def source(tmp_path, monkeypatch):
    """Three images, of which one is to test with, in the folders of the official archive."""
    monkeypatch.setattr(pennfudan, 'COUNT', 3)
    monkeypatch.setattr(pennfudan, 'TEST_COUNT', 1)
    for folder in ('PNGImages', 'PedMasks'):
        (tmp_path / 'PennFudanPed' / folder).mkdir(parents=True)
    for index, name in enumerate(('FudanPed00001', 'FudanPed00002', 'PennPed00001')):
        pixels = np.full((30, 40, 3), 50 * index, np.uint8)
        cv2.imwrite(str(tmp_path / f'PennFudanPed/PNGImages/{name}.png'), pixels)
        cv2.imwrite(str(tmp_path / f'PennFudanPed/PedMasks/{name}_mask.png'), mask_of(index))
    return tmp_path / 'PennFudanPed'


def test_the_split_stays_the_same():
    assert pennfudan.draw_test_ids() == TEST_IDS


def test_a_data_set_reads_every_pedestrian(source, tmp_path):
    out = tmp_path / 'data/pennfudan'
    assert call(source, out) is None
    init_default_scope('mmdet')
    seen = {}
    for split, count in {'train': 2, 'test': 1}.items():
        annotations = json.loads((out / f'annotations/instances_{split}.json').read_text())['annotations']
        assert [annotation['id'] for annotation in annotations] == list(range(1, len(annotations) + 1))
        dataset = DATASETS.build(
            dict(
                type='CocoDataset',
                data_root=str(out),
                data_prefix=dict(img='images/'),
                ann_file=f'annotations/instances_{split}.json',
                metainfo=dict(classes=('person',)),
                pipeline=[dict(type='LoadImageFromFile'), dict(type='LoadAnnotations', with_bbox=True, with_mask=True)],
            )
        )
        assert len(dataset) == count
        seen |= {sample['img_id']: sample for sample in dataset}
    assert {sample_id: len(sample['gt_masks']) for sample_id, sample in seen.items()} == {1: 1, 2: 2, 3: 3}
    for sample_id, sample in seen.items():
        assert sample['img'].shape == (30, 40, 3) and abs(int(sample['img'].mean()) - 50 * (sample_id - 1)) <= 1
        for number, (found, box) in enumerate(zip(sample['gt_masks'], sample['gt_bboxes'], strict=True), 1):
            np.testing.assert_array_equal(found, mask_of(sample_id - 1) == number)
            assert box.tensor[0].tolist() == [10 * number - 8, 3, 10 * number - 2, 10 + number]


def test_what_is_not_penn_fudan_is_refused(source, tmp_path):
    out, mask = tmp_path / 'data/pennfudan', source / 'PedMasks/FudanPed00002_mask.png'
    assert f'{tmp_path / "PNGImages"} holds 0 images (*.png), expected the 3 of Penn-Fudan' in call(tmp_path, out)
    cv2.imwrite(str(mask), np.zeros((30, 41), np.uint8))
    assert f'{mask} has shape (30, 41), expected (30, 40)' in call(source, out)
    mask.write_bytes(b'\x89PNG')
    assert f'{mask} is not an image, or is damaged' in call(source, out)
    mask.unlink()
    assert f'no mask {mask}' in call(source, out)
    assert not out.exists()
    cv2.imwrite(str(mask), mask_of(1))
    assert call(source, out) is None  # over what those runs left
    assert not out.with_name('pennfudan.part').exists()
    assert call(source, out) == f'{out} exists: name another folder, or move it away'
