"""The Penn-Fudan pedestrians become what CocoDataset reads."""

import json

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope
from pycocotools.coco import COCO

from daga_mm.cli.data import require_data

from ..conftest import REPOSITORY
from .conftest import call, load_converter

pennfudan = load_converter('pennfudan')
MASK = np.zeros((40, 60), np.uint8)
MASK[5:35, 4:16], MASK[8:30, 30:50], MASK[10:20, 10:14] = 1, 4, 2  # the third covers a part of the first


@pytest.fixture
def source(tmp_path, monkeypatch):
    """The unpacked archive with five images, of which two are for tests."""
    monkeypatch.setattr(pennfudan, 'IMAGES', 5)
    monkeypatch.setattr(pennfudan, 'TEST_IMAGES', 2)
    return write_pennfudan(tmp_path / 'PennFudanPed')


def write_pennfudan(root, count=5):
    for folder in ('PNGImages', 'PedMasks'):
        (root / folder).mkdir(parents=True)
    for number in range(1, count + 1):
        cv2.imwrite(str(root / f'PNGImages/FudanPed{number:05d}.png'), np.full((40, 60, 3), number, np.uint8))
        mask = MASK if number > 1 else MASK * (MASK == 1)
        cv2.imwrite(str(root / f'PedMasks/FudanPed{number:05d}_mask.png'), mask)
    return root


def test_the_config_reads_what_is_written(source, tmp_path, monkeypatch, capsys):
    out = tmp_path / 'data/pennfudan'
    assert call(pennfudan, source, out) is None
    # RandomState(0) draws images 3 and 1, whatever NumPy's version.
    assert f'\n{out}: train 3 images with 9 instances, test 2 images with 4 instances\n' in capsys.readouterr().out
    coco = COCO(out / 'annotations/instances_test.json')
    assert [image['file_name'] for image in coco.imgs.values()] == ['FudanPed00001.png', 'FudanPed00003.png']
    masks = [coco.annToMask(annotation) for annotation in coco.imgToAnns[3]]
    assert all(np.array_equal(mask, MASK == number) for mask, number in zip(masks, (1, 2, 4), strict=True))
    first = coco.imgToAnns[3][0]
    assert first['bbox'] == [4, 5, 12, 30] and first['area'] == 12 * 30 - 40

    monkeypatch.setenv('PENNFUDAN_ROOT', str(out))
    config = Config.fromfile(REPOSITORY / 'configs/_base_/pennfudan.py')
    require_data(config, 'train', 'val', 'test')
    init_default_scope('mmdet')
    train, test = (DATASETS.build(config[f'{split}_dataloader'].dataset) for split in ('train', 'test'))
    assert (len(train), len(test)) == (3, 2) and train.metainfo['classes'] == ('person',)
    instances = test[1]['data_samples'].gt_instances
    assert test[1]['inputs'].shape == (3, 427, 640) and instances.labels.tolist() == [0, 0, 0]
    assert instances.masks.masks.any(axis=(1, 2)).all()


def test_an_interrupted_run_starts_again(source, tmp_path, monkeypatch):
    out, add = tmp_path / 'pennfudan', pennfudan.Annotations.add

    def interrupted(self, image_id, image, mask):
        if image_id == 4:
            raise KeyboardInterrupt
        add(self, image_id, image, mask)

    with monkeypatch.context() as patch:
        patch.setattr(pennfudan.Annotations, 'add', interrupted)
        with pytest.raises(KeyboardInterrupt):
            pennfudan.convert(source, out)
    assert not out.exists()
    assert call(pennfudan, source, out) is None
    assert len(list((out / 'images').iterdir())) == 5 and not list(tmp_path.glob('*.part'))
    before = json.loads((out / 'annotations/instances_train.json').read_text())
    assert call(pennfudan, source, out).startswith(f'{out} exists, expected a folder to make')
    assert json.loads((out / 'annotations/instances_train.json').read_text()) == before


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda image, mask: image.unlink(), 'found 4 images in {root}/PNGImages, expected 5: unpack PennFudanPed.zip'),
        (lambda image, mask: mask.unlink(), 'found no {mask}, expected the mask of {image}: unpack'),
        (lambda image, mask: image.write_bytes(b''), '{image} is not an image, or is damaged'),
        (lambda image, mask: mask.write_bytes(b'damaged'), '{mask} is not an image, or is damaged'),
        (lambda image, mask: cv2.imwrite(str(mask), MASK.T), '{mask} has the shape (60, 40), expected (40, 60), that'),
    ],
    ids=['image', 'mask', 'empty image', 'damaged mask', 'size'],
)
def test_a_fault_is_named(change, message, source, tmp_path):
    image, mask = source / 'PNGImages/FudanPed00004.png', source / 'PedMasks/FudanPed00004_mask.png'
    change(image, mask)
    found = call(pennfudan, source, tmp_path / 'pennfudan')
    assert found.startswith(message.format(root=source, image=image, mask=mask))
    assert not (tmp_path / 'pennfudan').exists()
