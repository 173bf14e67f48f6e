import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData

from daga_mm.apis.drawing import draw_instances, draw_segmentation
from daga_mm.apis.run_lengths import encode_mask

CLASSES = ('sky', 'a long name of a class')
PALETTE = [(250, 0, 0), tuple(np.array([0, 0, 250]))]  # mmdet's random colours are of NumPy


def instances(boxes, labels, scores, masks=None) -> InstanceData:
    found = InstanceData(bboxes=torch.tensor(boxes).float(), labels=torch.tensor(labels), scores=torch.tensor(scores))
    if masks is not None:
        found.masks = [encode_mask(mask, mask.shape) for mask in masks]
    return found


def changed(picture: np.ndarray, value: int = 100) -> np.ndarray:
    return (picture != value).any(-1)


def test_masks_are_mixed_with_the_colour_of_their_class():
    image = np.full((200, 300, 3), 100, np.uint8)
    masks = np.zeros((2, 200, 300), bool)
    masks[0, 100:150, 200:260] = masks[1, 120:170, 40:100] = True
    found = instances([[200, 100, 260, 150], [40, 120, 100, 170]], [1, 0], [0.5, 0.9], masks)
    picture = draw_instances(image, found, CLASSES, PALETTE)
    assert image.min() == image.max() == 100, 'the image itself stays'
    assert picture[140, 230].tolist() == [50, 50, 175] and picture[160, 80].tolist() == [175, 50, 50]
    assert picture[149, 230].tolist() == [0, 0, 250], 'the edge of the box'
    assert not changed(picture)[175:].any() and not changed(picture)[125:, 110:190].any()


@pytest.mark.parametrize('masks', [None, np.zeros((2, 40, 60), bool)])
def test_names_stay_in_the_picture(masks):
    """Of boxes at its edges; an empty mask draws nothing."""
    found = instances([[0, 0, 60, 40], [55, 35, 60, 40]], [0, 1], [0.9, 0.8], masks)
    assert draw_instances(np.zeros((40, 60, 3), np.uint8), found, CLASSES, PALETTE).shape == (40, 60, 3)
    none = found[torch.zeros(2, dtype=torch.bool)]
    assert not draw_instances(np.zeros((40, 60, 3), np.uint8), none, CLASSES, PALETTE).any()


def test_letters_grow_with_the_image():
    heights = []
    for side in (600, 2400):
        image = np.full((side, side, 3), 100, np.uint8)
        picture = draw_segmentation(image, np.full((side, side), 7), CLASSES, PALETTE)  # 7 is no class
        assert not changed(picture).any()
        box = [[side // 2, side // 2, side // 2 + 1, side // 2 + 1]]
        ground = changed(draw_instances(image, instances(box, [1], [0.5]), CLASSES, PALETTE))
        rows = ground.any(1).nonzero()[0]
        heights.append((rows[-1] - rows[0] + 1) / side)
    assert 0.02 < heights[0] < 0.04 and heights[1] == pytest.approx(heights[0], rel=0.1)


@pytest.mark.parametrize('side', [300, 3000])
def test_a_class_is_named_where_its_region_is_widest(side):
    image, labels = np.full((side, side, 3), 100, np.uint8), np.full((side, side), 255)
    unit = side // 30
    labels[unit : 2 * unit] = 0  # a long narrow region, and a shorter wide one
    labels[15 * unit : 25 * unit, 10 * unit : 22 * unit] = 0
    picture = draw_segmentation(image, labels, CLASSES, PALETTE)
    assert picture[unit + 1, 1].tolist() == [175, 50, 50] and not changed(picture)[5 * unit : 14 * unit].any()
    rows, columns = ((picture == PALETTE[0]).all(-1)).nonzero()  # the ground of the name
    assert (rows.min() + rows.max()) / 2 == pytest.approx(20 * unit, abs=unit)
    assert 14 * unit < (columns.min() + columns.max()) / 2 < 18 * unit
