"""Detection is evaluated in the coordinates of the original image: ground truth, fed back, has an AP of 1."""

import numpy as np
import pytest
import torch
from mmengine.runner import Runner
from mmengine.structures import InstanceData
from torchvision.ops import roi_align

from daga_mm.engine import load_config
from demo.scenes import write_coco

from .configs.shrink import shrink
from .conftest import REPOSITORY

CONFIG = REPOSITORY / 'configs/mmdet/mask-rcnn_daga-vits16_vitadapter_8xb2-1x_coco.py'
SIZE = (205, 151)  # the network sees 258×190, padded to 288×192
GRID = 112  # of the mask head: finer than Mask R-CNN's 28, which no mask survives at an IoU of 0.95


class Oracle:
    """Answers for the three heads of a Mask R-CNN, knowing the truth: boxes, classes and masks in network pixels."""

    def __init__(self, model: torch.nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
        self.classes = model.roi_head.bbox_head.num_classes
        monkeypatch.setattr(model.rpn_head, 'predict', self.propose)
        monkeypatch.setattr(model.roi_head, '_bbox_forward', self.classify)
        monkeypatch.setattr(model.roi_head, '_mask_forward', self.outline)

    def propose(self, features, samples, rescale: bool) -> list[InstanceData]:
        assert not rescale
        (sample,) = samples
        width, height = sample.scale_factor
        self.scale = torch.tensor([width, height, width, height])
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
    Oracle(runner.model, monkeypatch)
    metrics = runner.test()
    assert metrics['coco/bbox_mAP'] == 1.0
    assert metrics['coco/segm_mAP'] == 1.0
