"""Pictures and files of panoptic predictions."""

import json

import cv2
import numpy as np

from ..small_models import save_model
from .test_infer import infer


def test_segments_are_drawn_and_written(pictures, tmp_path):
    sure = {'model.test_cfg.object_mask_thr': 0.0, 'model.test_cfg.iou_thr': 0.0}  # a random model is sure of nothing
    infer(pictures, save_model('panoptic', tmp_path / 'model', **sure), tmp_path / 'out')
    for name in ('a.png', 'b.jpg'):
        stem = name.partition('.')[0]
        picture = cv2.imread(str(tmp_path / f'out/vis/{stem}.png'))
        assert picture.shape == (72, 96, 3)
        assert np.abs(picture.astype(int) - cv2.imread(str(pictures / name))).mean() > 5, 'nothing is drawn'
        found = json.loads((tmp_path / f'out/preds/{stem}.json').read_text())
        assert found['panoptic_seg_path'] == str(tmp_path / f'out/preds/{stem}_panoptic_seg.png')
        segments = cv2.imread(found['panoptic_seg_path'])[..., ::-1].astype(int)
        ids = segments @ (1, 256, 65536)  # 1000 for each instance, and the class
        assert segments.shape == (72, 96, 3) and np.unique(ids % 1000).max() < 133 and ids.any()


def test_a_picture_without_a_segment_is_the_image(pictures, tmp_path):
    infer(
        pictures,
        save_model('panoptic', tmp_path / 'model', **{'model.test_cfg.object_mask_thr': 1.0}),
        tmp_path / 'out',
    )
    assert np.array_equal(cv2.imread(str(tmp_path / 'out/vis/a.png')), cv2.imread(str(pictures / 'a.png')))
