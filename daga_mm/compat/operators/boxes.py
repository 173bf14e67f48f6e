"""Non-maximum suppression, hard and soft."""

import torch
import torchvision
from torch import Tensor

from .autodiff import widen


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Hard non-maximum suppression.

    Args:
        boxes: (N, 4), x1 y1 x2 y2.
        scores: (N,).
        iou_threshold: boxes that overlap a better one by more than this are dropped.
        offset: 0 or 1; a box is x2 - x1 + offset wide.

    Returns:
        (K,) int64, the kept boxes from the best score down.
    """
    boxes = widen(boxes)
    boxes = torch.cat([boxes[:, :2], boxes[:, 2:] + offset], dim=1)  # the same widths, heights and overlaps
    # The extension takes the threshold as a C float, and integer boxes do hit it exactly.
    threshold = torch.tensor(iou_threshold, dtype=torch.float32).item()
    return torchvision.ops.nms(boxes, scores.to(boxes.dtype), threshold)


def softnms(
    boxes: Tensor,
    scores: Tensor,
    dets: Tensor,
    iou_threshold: float,
    sigma: float,
    min_score: float,
    method: int,
    offset: int,
) -> Tensor:
    """Soft non-maximum suppression (Bodla et al., 2017): overlapped boxes lose score before they are dropped.

    Args:
        boxes: (N, 4), x1 y1 x2 y2.
        scores: (N,).
        dets: (N, 5), written to: the kept boxes and their new scores in the first K rows.
        iou_threshold: overlap from which methods 0 and 1 act.
        sigma: width of method 2.
        min_score: a box whose score has sunk below it is dropped.
        method: 0 drops, 1 multiplies by 1 - IoU, 2 by exp(-IoU² / sigma).
        offset: 0 or 1; a box is x2 - x1 + offset wide.

    Returns:
        (K,) int64, the kept boxes in the order of their new scores.
    """
    corners = widen(boxes)
    left_top, right_bottom = corners[:, :2], corners[:, 2:] + offset
    areas = (right_bottom - left_top).prod(dim=1)  # (N,)
    left_scores = widen(scores).clone()  # of the boxes that are left, like `left`
    left = torch.arange(len(boxes), device=boxes.device)
    kept: list[Tensor] = []
    while len(left):
        best = int(left_scores.argmax())
        box = left[best]
        dets[len(kept), :4] = boxes[box]
        dets[len(kept), 4] = left_scores[best]
        kept.append(box)

        sides = torch.minimum(right_bottom[left], right_bottom[box]) - torch.maximum(left_top[left], left_top[box])
        overlap = sides.clamp(min=0).prod(dim=1)  # (left,)
        iou = overlap / (areas[left] + areas[box] - overlap)
        if method == 2:
            weight = torch.exp(-iou.square() / sigma)
        else:
            weight = torch.where(iou >= iou_threshold, 1 - iou if method == 1 else 0.0, 1.0)
        left_scores = left_scores * weight
        stays = left_scores >= min_score
        stays[best] = False
        left, left_scores = left[stays], left_scores[stays]
    return torch.stack(kept) if kept else left
