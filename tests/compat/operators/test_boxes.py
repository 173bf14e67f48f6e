import math

import pytest
import torch
from mmcv.ops import batched_nms, nms, soft_nms
from torch import Tensor


def some_boxes(count: int = 60) -> tuple[Tensor, Tensor]:
    """Integer boxes in a small image, so that overlaps are many and repeat, and scores that all differ."""
    generator = torch.Generator().manual_seed(0)
    corners = torch.randint(0, 20, (count, 2), generator=generator)
    sides = torch.randint(4, 16, (count, 2), generator=generator)
    scores = (torch.randperm(count, generator=generator) + 1) / (count + 1)
    return torch.cat([corners, corners + sides], dim=1).float(), scores


def iou(a: list[float], b: list[float], offset: int) -> float:
    def area(x1, y1, x2, y2):
        return max(x2 - x1 + offset, 0) * max(y2 - y1 + offset, 0)

    shared = area(max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3]))
    return shared / (area(*a) + area(*b) - shared)


def greedy(boxes: Tensor, scores: Tensor, threshold: float, offset: int = 0) -> list[int]:
    corners, kept = boxes.tolist(), []
    for i in scores.argsort(descending=True).tolist():
        if all(iou(corners[i], corners[j], offset) <= threshold for j in kept):
            kept.append(i)
    return kept


def greedy_soft(
    boxes: Tensor, scores: Tensor, threshold: float, sigma: float, min_score: float, method: str, offset: int
) -> list[tuple[int, float]]:
    corners, left, kept = boxes.tolist(), dict(enumerate(scores.tolist())), []
    while left:
        best = max(left, key=left.__getitem__)
        kept.append((best, left.pop(best)))
        for i in left:
            overlap = iou(corners[best], corners[i], offset)
            if method == 'gaussian':
                left[i] *= math.exp(-(overlap**2) / sigma)
            elif overlap >= threshold:
                left[i] *= 1 - overlap if method == 'linear' else 0
        left = {i: score for i, score in left.items() if score >= min_score}
    return kept


@pytest.mark.parametrize('offset', [0, 1])
@pytest.mark.parametrize('threshold', [0.111, 0.333, 0.555, 0.888])
def test_nms(threshold, offset):
    boxes, scores = some_boxes()
    dets, kept = nms(boxes, scores, threshold, offset=offset)
    assert kept.tolist() == greedy(boxes, scores, threshold, offset)
    assert torch.equal(dets, torch.cat([boxes, scores[:, None]], dim=1)[kept])


def test_offset_changes_the_outcome():
    boxes, scores = some_boxes()
    assert nms(boxes, scores, 0.333)[1].tolist() != nms(boxes, scores, 0.333, offset=1)[1].tolist()


def test_an_overlap_of_just_the_threshold_is_kept():
    boxes = torch.tensor([[0.0, 0, 2, 1], [1, 0, 3, 1]])  # IoU 1/3, which float32 rounds up and a double does not
    scores = torch.tensor([0.9, 0.8])
    assert nms(boxes, scores, 1 / 3)[1].tolist() == [0, 1]
    assert nms(boxes, scores, 0.333)[1].tolist() == [0]


def test_nms_filters_by_score_and_number_and_returns_what_it_was_given():
    boxes, scores = some_boxes()
    expected = [i for i in greedy(boxes, scores, 0.4) if scores[i] > 0.3]
    dets, kept = nms(boxes.numpy(), scores.numpy(), 0.4, score_threshold=0.3, max_num=5)
    assert type(dets).__name__ == type(kept).__name__ == 'ndarray'
    assert kept.tolist() == expected[:5] and len(expected) > 5


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float64])
def test_every_float_type(dtype):
    boxes, scores = some_boxes()  # small integers are exact in every type, 60 scores differ in every type
    dets, kept = nms(boxes.to(dtype), scores.to(dtype), 0.4)
    assert dets.dtype == dtype and kept.tolist() == nms(boxes, scores, 0.4)[1].tolist()
    dets, kept = soft_nms(boxes.to(dtype), scores.to(dtype), method='naive')
    assert dets.dtype == dtype and kept.tolist() == soft_nms(boxes, scores, method='naive')[1].tolist()


@pytest.mark.parametrize('operator', [nms, soft_nms])
def test_no_boxes(operator):
    dets, kept = operator(torch.empty(0, 4), torch.empty(0), 0.5)
    assert dets.shape == (0, 5) and kept.shape == (0,) and kept.dtype == torch.int64


@pytest.mark.parametrize('offset', [0, 1])
@pytest.mark.parametrize('method', ['naive', 'linear', 'gaussian'])
def test_soft_nms(method, offset):
    boxes, scores = (tensor.double() for tensor in some_boxes())  # in float32 two of the new scores are a tie
    arguments = dict(sigma=0.5, min_score=0.05, method=method, offset=offset)
    dets, kept = soft_nms(boxes, scores, 0.3, **arguments)
    expected = greedy_soft(boxes, scores, 0.3, **arguments)
    assert kept.tolist() == [i for i, _ in expected] and 1 < len(kept) < len(boxes)
    assert torch.equal(dets[:, :4], boxes[kept])
    torch.testing.assert_close(dets[:, 4], torch.tensor([score for _, score in expected], dtype=torch.float64))


@pytest.mark.parametrize('split_thr', [10000, 1])  # all boxes at once, or class by class
def test_batched_nms_keeps_classes_apart(split_thr):
    boxes, scores = some_boxes()
    classes = torch.arange(60) % 3
    dets, kept = batched_nms(boxes, scores, classes, dict(type='nms', iou_threshold=0.3, split_thr=split_thr))
    expected = set()
    for label in range(3):
        members = (classes == label).nonzero()[:, 0]
        expected |= set(members[greedy(boxes[members], scores[members], 0.3)].tolist())
    assert set(kept.tolist()) == expected and len(kept) == len(expected)
    assert torch.equal(dets, torch.cat([boxes, scores[:, None]], dim=1)[kept])
    together = batched_nms(boxes, scores, classes, dict(type='nms', iou_threshold=0.3), class_agnostic=True)[1]
    assert together.tolist() == greedy(boxes, scores, 0.3)


def test_batched_soft_nms():
    boxes, scores = some_boxes()
    dets, kept = batched_nms(boxes, scores, torch.arange(60), dict(type='soft_nms', iou_threshold=0.3))
    assert torch.equal(dets[:, 4], scores[kept]) and len(kept) == 60  # every box a class of its own
