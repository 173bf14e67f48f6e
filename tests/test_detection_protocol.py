"""Detection is evaluated in the coordinates of the original image: ground truth, fed back, has an AP of 1."""

import cv2
import numpy as np
import pytest
import torch
from mmengine.runner import Runner
from mmengine.structures import InstanceData
from torchvision.ops import roi_align

from daga_mm.cli.config import load_config
from demo.scenes import write_coco

from .configs.shrink import shrink
from .conftest import REPOSITORY

CONFIG = REPOSITORY / 'configs/mmdet/mask-rcnn_daga-vits16_vitadapter_8xb2-1x_coco.py'
SIZE = (205, 151)  # pixels wide and high
SEEN, PADDED = (258, 190), (288, 192)  # as the network gets it, and padded to multiples of 32
GRID = 112  # of the mask head: finer than Mask R-CNN's 28, which no mask survives at an IoU of 0.95


class Oracle:
    """Answers for the three heads of a Mask R-CNN, knowing the truth: boxes, classes and masks in network pixels.

    Where those are it sees in the network's input, and not in what the pipeline says of it.
    """

    def __init__(self, model: torch.nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
        self.classes = model.roi_head.bbox_head.num_classes
        self.preprocessor = model.data_preprocessor
        self.images = 0
        model.backbone.register_forward_pre_hook(self.look)
        monkeypatch.setattr(model.rpn_head, 'predict', self.propose)
        monkeypatch.setattr(model.roi_head, '_bbox_forward', self.classify)
        monkeypatch.setattr(model.roi_head, '_mask_forward', self.outline)

    def look(self, backbone, inputs: tuple[torch.Tensor]) -> None:
        (self.seen,) = inputs[0]  # (3, H, W)

    def propose(self, features, samples, rescale: bool) -> list[InstanceData]:
        assert not rescale
        (sample,) = samples
        self.images += 1
        padded = tuple(self.seen.shape[1:])
        content = self.seen.any(dim=0).nonzero().amax(dim=0) + 1  # padding is zero, and no normalised pixel is
        height, width = content.tolist()
        assert padded == PADDED[::-1] and (width, height) == SEEN
        assert sample.img_shape == (height, width) and sample.batch_input_shape == padded
        for level, stride in zip(features, (4, 8, 16, 32, 64), strict=True):
            assert tuple(level.shape[2:]) == tuple(-(-side // stride) for side in padded)
        image = cv2.imread(sample.img_path)
        assert image.shape == (*SIZE[::-1], 3)
        whole = torch.from_numpy(cv2.resize(image, SEEN)[..., ::-1].copy()).permute(2, 0, 1)
        expected = (whole - self.preprocessor.mean) / self.preprocessor.std
        torch.testing.assert_close(self.seen[:, :height, :width], expected, atol=0.05, rtol=0)
        self.scale = torch.tensor([width, height] * 2) / torch.tensor([*SIZE] * 2)
        self.truth = sample.gt_instances
        return [InstanceData(bboxes=self.truth.bboxes * self.scale, scores=torch.ones(len(self.truth)))]

    def classify(self, features, rois: torch.Tensor) -> dict[str, torch.Tensor]:
        scores = torch.full((len(rois), self.classes + 1), -20.0)
        scores[torch.arange(len(rois)), self.truth.labels] = 20.0
        return dict(cls_score=scores, bbox_pred=torch.zeros(len(rois), 4 * self.classes))

    def outline(self, features, rois: torch.Tensor) -> dict[str, torch.Tensor]:
        boxes = rois[:, 1:] / self.scale
        of = torch.cdist(boxes, self.truth.bboxes).argmin(dim=1)
        masks = torch.from_numpy(np.stack(self.truth.masks.masks)[of.numpy()]).float()[:, None]
        rows = torch.cat([torch.arange(len(of))[:, None], boxes], dim=1)
        inside = roi_align(masks, rows, GRID, aligned=True)  # (n, 1, GRID, GRID)
        return dict(mask_preds=20 * (inside - 0.5).expand(-1, self.classes, -1, -1))


def test_ground_truth_comes_back_as_an_ap_of_one(tmp_path, monkeypatch):
    root = write_coco(tmp_path / 'coco', 1, 4, seed=6, size=SIZE)
    monkeypatch.setenv('COCO_ROOT', str(root))
    options = {
        'test_dataloader': dict(num_workers=0, persistent_workers=False),
        'test_dataloader.dataset.pipeline.1.scale': (320, 190),
        # two chairs of one box are two chairs
        'model.test_cfg.rcnn.nms.iou_threshold': 1.0,
        'log_level': 'WARNING',
    }
    config = shrink(load_config(CONFIG, options, work_dir=str(tmp_path / 'run')))
    runner = Runner.from_cfg(config)
    oracle = Oracle(runner.model, monkeypatch)
    metrics = runner.test()
    assert oracle.images == 4
    assert metrics['coco/bbox_mAP'] == 1.0
    assert metrics['coco/segm_mAP'] == 1.0
