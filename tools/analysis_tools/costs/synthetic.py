"""Synthetic batches: random pixels, boxes, masks, labels and depths, of the sizes and in the form of real ones."""

from typing import Any

import torch
from torch import nn


def synthetic_batch(model: nn.Module, task: str, size: tuple[int, int], batch: int) -> dict[str, Any]:
    """What a loader would give.

    Args:
        model: Of mmdet, mmseg or mmpretrain; its head says how many classes there are.
        task: The config's default_scope.
        size: Height and width of the images.
        batch: Images.

    Raises:
        ValueError: A task of another package.
    """
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (batch, 3, *size), dtype=torch.uint8, generator=generator)
    if task == 'mmdet':
        from mmdet.testing import demo_mm_inputs

        classes = model.roi_head.bbox_head
        classes = (classes[0] if isinstance(classes, nn.ModuleList) else classes).num_classes
        shape = [3, *size]  # seven objects an image: COCO's mean
        return demo_mm_inputs(batch, [shape] * batch, num_items=[7] * batch, num_classes=classes, with_mask=True)
    if task == 'mmpretrain':
        from mmpretrain.structures import DataSample

        return dict(inputs=images, data_samples=[DataSample().set_gt_label(0) for _ in range(batch)])
    if task == 'mmseg':
        from mmengine.structures import PixelData
        from mmseg.structures import SegDataSample

        samples = []
        for _ in range(batch):
            sample = SegDataSample(metainfo=dict(img_shape=size, ori_shape=size))
            labels = torch.randint(model.decode_head.num_classes, (1, *size), generator=generator)
            sample.gt_sem_seg = PixelData(data=labels)
            sample.gt_depth_map = PixelData(data=10 * torch.rand(1, *size, generator=generator) + 1e-3)
            samples.append(sample)
        return dict(inputs=list(images), data_samples=samples)
    raise ValueError(f'no synthetic data for {task}: default_scope is mmdet, mmseg or mmpretrain')
