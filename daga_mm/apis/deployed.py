"""A trained model for deployment: from 8-bit images to results of their size."""

from typing import Any

import torch
from mmengine.config import Config
from torch import Tensor, nn

from ..layers import pad_to_multiple

Outputs = dict[str, Tensor]


class Deployed(nn.Module):
    """A model with the normalisation, padding and resizing of results that surround it in a test.

    Images are neither resized nor cut into windows: the model processes them at their own size.

    Args:
        model: A model of mmpretrain, mmseg or mmdet, with its weights.
        config: Its config, for the task and the normalisation.

    Raises:
        ValueError: The config is of another task.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, model: Any, config: Config) -> None:
        super().__init__()
        self.model = model.eval()
        self._predict = _predictor(model, config)
        given = config.model.get('data_preprocessor') or config.get('data_preprocessor') or {}
        self._rgb = given.get('bgr_to_rgb', given.get('to_rgb', False))  # OpenMMLab reads images as BGR
        self._divisor = given.get('pad_size_divisor') or (given.get('test_cfg') or {}).get('size_divisor') or 1
        self._padding = given.get('pad_value', given.get('pad_val', 0))
        self.register_buffer('mean', torch.tensor(given.get('mean') or [0.0]).view(-1, 1, 1))
        self.register_buffer('std', torch.tensor(given.get('std') or [1.0]).view(-1, 1, 1))

    def forward(self, images: Tensor) -> Outputs:
        """Images (N, H, W, 3), uint8, RGB -> results by name.

        - classification: ``logits`` (N, C)
        - segmentation: ``labels`` (N, H, W), int64, and the ``logits`` (N, C, H, W) of which they are the largest
        - depth: ``depth`` (N, H, W) in metres
        - detection with DINO or another DETR of mmdet's with deformable attention: ``boxes`` (N, K, 4), x1 y1 x2 y2 in
          pixels, ``scores`` (N, K), descending, ``labels`` (N, K); K is the most objects that the config allows
        - any other detector: ``map0``, ``map1``, …, the neck's (N, D, h, w), from fine to coarse
        """
        height, width = images.shape[1:3]
        x = images.permute(0, 3, 1, 2).float()
        x = x if self._rgb else x.flip(1)
        x = (x - self.mean) / self.std
        x = pad_to_multiple(x, self._divisor, self._padding)
        return self._predict(self.model, x, (height, width))

    def upstream(self, images: Tensor) -> Outputs:
        """The same, with the images prepared by the model's own preprocessor."""
        data = {'inputs': list(images.flip(3).permute(0, 3, 1, 2)), 'data_samples': None}
        x = self.model.data_preprocessor(data, False)['inputs']
        return self._predict(self.model, x, tuple(images.shape[1:3]))


def _classify(model: Any, x: Tensor, size: tuple[int, int]) -> Outputs:
    return {'logits': model(x, mode='tensor')}


def _segment(model: Any, x: Tensor, size: tuple[int, int]) -> Outputs:
    logits = model.encode_decode(x, [{'img_shape': x.shape[2:]}])
    logits = logits.narrow(2, 0, size[0]).narrow(3, 0, size[1])
    return {'labels': logits.argmax(dim=1), 'logits': logits}


def _estimate_depth(model: Any, x: Tensor, size: tuple[int, int]) -> Outputs:
    return {'depth': model(x, mode='tensor')[:, 0].narrow(1, 0, size[0]).narrow(2, 0, size[1])}


def _extract_maps(model: Any, x: Tensor, size: tuple[int, int]) -> Outputs:
    return {f'map{index}': one for index, one in enumerate(model.extract_feat(x))}


def _detect(model: Any, x: Tensor, size: tuple[int, int]) -> Outputs:
    """As mmdet's ``DeformableDETRHead.predict``, for all images at once."""
    from mmdet.structures import DetDataSample
    from mmdet.structures.bbox import bbox_cxcywh_to_xyxy

    shape = x.shape[2:]
    samples = [DetDataSample(metainfo=dict(img_shape=shape, batch_input_shape=shape)) for _ in range(x.shape[0])]
    scores, boxes = model.bbox_head(**model.forward_transformer(model.extract_feat(x), samples))
    scores, chosen = scores[-1].sigmoid().flatten(1).topk(model.test_cfg['max_per_img'])  # (N, K)
    queries, labels = chosen // model.bbox_head.cls_out_channels, chosen % model.bbox_head.cls_out_channels
    boxes = bbox_cxcywh_to_xyxy(boxes[-1].gather(1, queries[..., None].expand(-1, -1, 4)))
    limits = boxes.new_tensor([size[1], size[0], size[1], size[0]])
    boxes = (boxes * boxes.new_tensor([shape[1], shape[0], shape[1], shape[0]])).clamp(min=0).minimum(limits)
    return {'boxes': boxes, 'scores': scores, 'labels': labels}


PREDICTORS = {'mmpretrain': _classify, 'mmseg': _segment, 'depth': _estimate_depth, 'mmdet': _extract_maps}


def _predictor(model: Any, config: Config) -> Any:
    scope = 'depth' if config.model.type.endswith('DepthEstimator') else config.get('default_scope')
    if scope not in PREDICTORS:
        raise ValueError(f'found a config of {scope}, expected one of {", ".join(PREDICTORS)}')
    if scope == 'mmdet':
        from mmdet.models.detectors import DeformableDETR

        return _detect if isinstance(model, DeformableDETR) else _extract_maps
    return PREDICTORS[scope]
