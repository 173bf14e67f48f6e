"""Pictures and files of panoptic predictions."""

import json

import cv2
import numpy as np

from .test_infer import images, infer  # noqa: F401 (a fixture)

PANOPTIC = 'mmdet/mask2former_daga-vits16_vitadapter_8xb2-ms-3x_coco-panoptic.py'
SMALL = {'test_dataloader.dataset.pipeline.1.scale': (96, 64)}
META = {'dataset_meta': dict(classes=[f'class {i}' for i in range(133)], palette=[(i, 255 - i, i) for i in range(133)])}


def test_segments_are_drawn_and_written(images, tmp_path):  # noqa: F811
    sure = {'model.test_cfg.object_mask_thr': 0.0, 'model.test_cfg.iou_thr': 0.0}  # a random model is sure of nothing
    drawn = infer(
        PANOPTIC, images, tmp_path / 'out', meta=META, **SMALL, **sure, **{'model.panoptic_head.num_queries': 10}
    )
    assert set(drawn) == {'a.png', 'b.jpg'}
    for name, picture in drawn.items():
        stem = name.partition('.')[0]
        assert picture.shape == (72, 96, 3)
        assert np.abs(picture.astype(int) - cv2.imread(str(images / name))).mean() > 5, 'nothing is drawn'
        found = json.loads((tmp_path / f'out/preds/{stem}.json').read_text())
        segments = cv2.imread(found['panoptic_seg_path'])[..., ::-1].astype(int)
        ids = segments @ (1, 256, 65536)  # 1000 for each instance, and the class
        assert segments.shape == (72, 96, 3) and np.unique(ids % 1000).max() < 133 and ids.any()


def test_a_picture_without_a_segment_is_the_image(images, tmp_path):  # noqa: F811
    drawn = infer(PANOPTIC, images, tmp_path / 'out', meta=META, **SMALL, **{'model.test_cfg.object_mask_thr': 1.0})
    assert np.array_equal(drawn['a.png'], cv2.imread(str(images / 'a.png')))
