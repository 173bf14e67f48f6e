"""SegNet's CamVid becomes what a segmentation data set reads, or no folder appears."""

from functools import partial

import cv2
import numpy as np
import pytest
from mmengine.registry import DATASETS, init_default_scope

from .conftest import call as run_main
from .conftest import load_converter

camvid = load_converter('camvid')
call = partial(run_main, camvid)


@pytest.fixture
def source(tmp_path, monkeypatch):
    """Two, one and one images of 48×36 pixels in SegNet's folders; map values up to 11."""
    monkeypatch.setattr(camvid, 'COUNTS', {'train': 2, 'val': 1, 'test': 1})
    rows, columns = np.mgrid[0:36, 0:48]
    for split, count in camvid.COUNTS.items():
        for folder in (split, f'{split}annot'):
            (tmp_path / 'CamVid' / folder).mkdir(parents=True)
        for index in range(count):
            pixels = np.stack([rows * 5, columns * 4, np.full_like(rows, 60 * index)], axis=2).astype(np.uint8)
            cv2.imwrite(str(tmp_path / f'CamVid/{split}/{split}_{index}.png'), pixels)
            labels = (columns // 4 + index) % 12
            cv2.imwrite(str(tmp_path / f'CamVid/{split}annot/{split}_{index}.png'), labels.astype(np.uint8))
    return tmp_path / 'CamVid'


def test_a_data_set_reads_images_and_their_classes(source, tmp_path):
    out = tmp_path / 'data/camvid'
    assert call(source, out) is None
    init_default_scope('mmseg')
    for split, count in camvid.COUNTS.items():
        dataset = DATASETS.build(
            dict(
                type='BaseSegDataset',
                data_root=str(out),
                data_prefix=dict(img_path=split, seg_map_path=f'{split}annot'),
                img_suffix='.jpg',
                metainfo=dict(classes=tuple('abcdefghijk')),
                pipeline=[dict(type='LoadImageFromFile'), dict(type='LoadAnnotations')],
            )
        )
        assert len(dataset) == count
        for index, sample in enumerate(dataset):
            pixels = cv2.imread(str(source / f'{split}/{split}_{index}.png'))
            labels = cv2.imread(str(source / f'{split}annot/{split}_{index}.png'), cv2.IMREAD_UNCHANGED)
            np.testing.assert_array_equal(sample['gt_seg_map'], labels)
            assert np.abs(sample['img'].astype(int) - pixels).mean() < 2  # JPEG


def test_what_is_not_camvid_is_refused(source, tmp_path):
    out, labels = tmp_path / 'data/camvid', source / 'valannot/val_0.png'
    assert f'{tmp_path / "train"} holds 0 images (*.png), expected the 2 of CamVid' in call(tmp_path, out)
    cv2.imwrite(str(labels), np.full((36, 48, 3), 128, np.uint8))
    assert f'{labels} holds uint8 (36, 48, 3) up to 128, expected uint8 (36, 48) up to 11' in call(source, out)
    labels.write_bytes(b'\x89PNG')
    assert f'{labels} is not an image, or is damaged' in call(source, out)
    labels.unlink()
    assert f'no label map {labels}' in call(source, out)
    assert not out.exists()
    cv2.imwrite(str(labels), np.zeros((36, 48), np.uint8))
    assert call(source, out) is None  # over what those runs left
    assert not out.with_name('camvid.part').exists()
    assert call(source, out) == f'{out} exists: name another folder, or move it away'
