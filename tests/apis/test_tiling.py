"""Tiles of images that have the coordinates of their pixels in place of colours, so that a model knows where it is."""

import gc
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData, PixelData

from daga_mm.apis.run_lengths import compress, encode_mask
from daga_mm.apis.tiling import as_dict, cut_into_tiles, detect_in_tiles, encode_instances, segment_in_tiles


def coordinates(height: int, width: int) -> np.ndarray:
    return np.stack(np.mgrid[:height, :width], axis=-1)  # (H, W, 2)


@pytest.mark.parametrize('shape', [(100, 250), (250, 100), (31, 400), (64, 64), (65, 64), (7, 9)])
@pytest.mark.parametrize(('size', 'overlap'), [(64, 0), (64, 16), (64, 63), (33, 20)])
def test_tiles_cover_the_image_and_overlap(shape, size, overlap):
    tiles = cut_into_tiles(shape, size, overlap)
    covered = np.zeros(shape, int)
    for (top, bottom), (left, right) in tiles:
        covered[top:bottom, left:right] += 1
        assert (bottom - top, right - left) == (min(size, shape[0]), min(size, shape[1]))
    assert covered.min() >= 1 and len(set(tiles)) == len(tiles)
    for axis in (0, 1):
        sides = sorted({tile[axis] for tile in tiles})
        shared = [one[1] - other[0] for one, other in pairwise(sides)]
        assert all(overlap <= pixels for pixels in shared) and max(shared, default=0) - min(shared, default=0) <= 1


@pytest.mark.parametrize('overlap', [-1, 64, 100])
def test_an_overlap_that_leaves_nothing_of_a_tile_is_refused(overlap):
    with pytest.raises(ValueError, match=f'overlap is {overlap} for tiles of 64 pixels, expected 0 to 63'):
        cut_into_tiles((100, 100), 64, overlap)


# -- segmentation -------------------------------------------------------------------------------------------------


def logits_of(crop: np.ndarray, channels: int) -> torch.Tensor:
    """(C, h, w): what differs from tile to tile, so that averages count."""
    top, left = crop[0, 0].tolist()
    generator = torch.Generator().manual_seed(1000 * top + left)
    return torch.rand((channels, *crop.shape[:2]), generator=generator)


def segmenter(channels: int):
    def predict(crops):
        for crop in crops:
            yield SimpleNamespace(seg_logits=PixelData(data=logits_of(crop, channels)))

    return predict


def averaged(shape: tuple[int, int], size: int, overlap: int, channels: int) -> np.ndarray:
    image, sums, counts = coordinates(*shape), torch.zeros(channels, *shape), torch.zeros(shape)
    for rows, columns in cut_into_tiles(shape, size, overlap):
        place = slice(*rows), slice(*columns)
        sums[(slice(None), *place)] += logits_of(image[place], channels)
        counts[place] += 1
    return (sums / counts).numpy()


@pytest.mark.parametrize('shape', [(90, 150), (150, 90), (60, 45)])
@pytest.mark.parametrize(('size', 'overlap'), [(64, 0), (64, 16), (40, 30)])
def test_logits_are_averaged_where_tiles_overlap(shape, size, overlap):
    for channels in (3, 300):  # of more than 256 classes too
        found = segment_in_tiles(segmenter(channels), coordinates(*shape), size, overlap)
        assert found.dtype == np.uint16
        assert (found == averaged(shape, size, overlap, channels).argmax(0)).mean() > 0.999  # the order of additions
    found = segment_in_tiles(segmenter(1), coordinates(*shape), size, overlap, threshold=0.4)
    assert (found == (averaged(shape, size, overlap, 1)[0] > 0.4)).mean() > 0.999


def test_logits_are_not_kept_once_they_are_used():
    """Between two tiles of a long image, those of their overlap."""
    held = []

    def predict(crops):
        for index, crop in enumerate(crops):
            if index == 10:
                tensors = [one for one in gc.get_objects() if type(one) is torch.Tensor and one.shape[:1] == (7,)]
                held.append(sum(one.numel() for one in tensors))
            yield SimpleNamespace(seg_logits=PixelData(data=logits_of(crop, 7)))

    segment_in_tiles(predict, coordinates(1000, 50), 64, 16)
    assert 7 * 50 * 16 <= held[0] <= 7 * 50 * 20


# -- detection ----------------------------------------------------------------------------------------------------

# Left, top, width, height, class, score: smaller than the overlap of 64; some on the edges of tiles.
OBJECTS = [
    (10, 10, 30, 40, 0, 0.9),
    (180, 100, 50, 60, 1, 0.8),  # on the edges of tiles
    (185, 180, 60, 20, 0, 0.7),  # a corner of four
    (190, 185, 20, 10, 0, 0.6),  # in the one before, of its class
    (190, 183, 12, 12, 1, 0.5),
    (270, 110, 63, 50, 2, 0.35),
    (560, 380, 40, 20, 1, 0.3),  # the last pixels
]


def detector(objects, with_masks: bool = True, score_of_parts: float = 0.05):
    """Finds ellipses, or the parts that it sees, of which it is surer."""

    def see(crop: np.ndarray) -> dict:
        boxes, scores, labels, masks = [], [], [], []
        (first_row, first_column), (last_row, last_column) = crop[0, 0].tolist(), crop[-1, -1].tolist()
        for left, top, width, height, label, score in objects:
            x1, y1 = max(left, first_column), max(top, first_row)
            x2, y2 = min(left + width, last_column + 1), min(top + height, last_row + 1)
            if x2 - x1 < 3 or y2 - y1 < 3:
                continue
            boxes.append([x1 - first_column, y1 - first_row, x2 - first_column, y2 - first_row])
            scores.append(score + score_of_parts * ((x2 - x1, y2 - y1) != (width, height)))
            labels.append(label)
            masks.append(ellipse(crop, left, top, width, height))
        found = InstanceData(
            bboxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
            scores=torch.tensor(scores),
            labels=torch.tensor(labels, dtype=torch.int64),
        )
        if with_masks:
            found.masks = torch.from_numpy(np.stack(masks)) if masks else torch.zeros((0, *crop.shape[:2]), dtype=bool)
        return {'pred_instances': found}

    return lambda crops: map(see, crops)


def ellipse(image: np.ndarray, left: int, top: int, width: int, height: int) -> np.ndarray:
    row, column = image[..., 0], image[..., 1]
    x, y = (column + 0.5 - left - width / 2) / width, (row + 0.5 - top - height / 2) / height
    return x * x + y * y <= 0.25


@pytest.mark.parametrize('with_masks', [True, False])
def test_objects_in_several_tiles_are_found_once_and_whole(with_masks):
    image = coordinates(400, 600)
    found = as_dict(detect_in_tiles(detector(OBJECTS, with_masks), image, 200, 64))
    expected = {
        'labels': [label for *_, label, _ in OBJECTS],
        'scores': pytest.approx([score for *_, score in OBJECTS]),
        'bboxes': [[x, y, x + w, y + h] for x, y, w, h, *_ in OBJECTS],
    }
    if with_masks:
        expected['masks'] = [compress(encode_mask(ellipse(image, *place), (400, 600))) for *place, _, _ in OBJECTS]
    assert found == expected


def test_one_tile_is_the_whole_image():
    image, predict = coordinates(400, 600), detector([*OBJECTS, OBJECTS[0]])  # what the model finds twice stays
    (whole,) = predict([image])
    expected = as_dict(encode_instances(whole['pred_instances'], (400, 600)))
    assert as_dict(detect_in_tiles(predict, image, 600, 0)) == expected and len(expected['masks']) == len(OBJECTS) + 1


def test_what_is_larger_than_the_overlap_comes_in_parts():
    found = detect_in_tiles(detector([(20, 20, 350, 40, 0, 0.9)]), coordinates(100, 600), 200, 20)
    assert len(found) >= 2 and found.bboxes[:, 0].min() == 20 and found.bboxes[:, 2].max() == 370


def test_an_image_without_objects_has_none():
    found = detect_in_tiles(detector([]), coordinates(100, 600), 200, 20)
    assert as_dict(found) == {'labels': [], 'scores': [], 'bboxes': [], 'masks': []}


def test_a_model_without_boxes_is_refused():
    with pytest.raises(ValueError, match='the model predicts no boxes'):
        detect_in_tiles(lambda crops: [{'pred_panoptic_seg': None} for _ in crops], coordinates(10, 10), 10, 0)
