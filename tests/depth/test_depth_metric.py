import logging
import math

import cv2
import numpy as np
import pytest
import torch
from mmengine.logging import MMLogger

from daga_mm.depth import DepthMetric, depth_errors
from daga_mm.depth.depth_metric import EIGEN_BOX


def sample(pred, truth, name: str = 'room.jpg') -> dict:
    """What a metric gets: metres (1, H, W) of prediction and truth."""
    return {
        'img_path': name,
        'pred_depth_map': {'data': torch.as_tensor(pred, dtype=torch.float32)[None]},
        'gt_depth_map': {'data': torch.as_tensor(truth, dtype=torch.float32)[None]},
    }


def measure(samples: list[dict], **options) -> dict[str, float]:
    metric = DepthMetric(**options)
    metric.process({}, samples)
    return metric.evaluate(len(samples))


def in_numpy(pred: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """The same once more, pixel by pixel."""
    pixels = list(zip(pred.ravel().tolist(), truth.ravel().tolist(), strict=True))
    logs = [math.log(p / t) for p, t in pixels]

    def mean(values) -> float:
        return sum(values) / len(pixels)

    errors = {f'd{k}': mean([max(p / t, t / p) < 1.25**k for p, t in pixels]) for k in (1, 2, 3)}
    return errors | {
        'abs_rel': mean([abs(p - t) / t for p, t in pixels]),
        'sq_rel': mean([(p - t) ** 2 / t for p, t in pixels]),
        'rmse': mean([(p - t) ** 2 for p, t in pixels]) ** 0.5,
        'rmse_log': mean([d**2 for d in logs]) ** 0.5,
        'log10': mean([abs(math.log10(p) - math.log10(t)) for p, t in pixels]),
        'silog': (mean([d**2 for d in logs]) - 0.5 * mean(logs) ** 2) ** 0.5,
        'silog_kitti': 100 * (mean([d**2 for d in logs]) - mean(logs) ** 2) ** 0.5,
    }


def test_by_hand():
    errors = depth_errors(torch.tensor([2.0, 4.0]), torch.tensor([1.0, 4.0]))
    log2 = math.log(2)
    assert errors == pytest.approx(
        {
            'd1': 0.5, 'd2': 0.5, 'd3': 0.5,  # 2 is above 1.25³
            'abs_rel': 0.5, 'sq_rel': 0.5, 'rmse': math.sqrt(0.5),
            'rmse_log': log2 / math.sqrt(2), 'log10': math.log10(2) / 2,
            'silog': log2 * math.sqrt(1 / 2 - 1 / 8), 'silog_kitti': 100 * log2 / 2,
        }
    )  # fmt: skip


def test_means_over_images_of_an_independent_implementation():
    random = np.random.default_rng(0)
    pairs = [(random.uniform(0.5, 9.5, (7, 5 + i)), random.uniform(0.5, 9.5, (7, 5 + i))) for i in range(3)]
    means = measure([sample(*pair) for pair in pairs])
    alone = [in_numpy(*pair) for pair in pairs]
    assert means == pytest.approx({name: sum(e[name] for e in alone) / 3 for name in alone[0]}, rel=1e-5)
    assert set(means) == set(DepthMetric.METRICS)


def test_metrics_can_be_chosen_which_upstream_fails_at():
    pair = sample([[2.0, 4.0]], [[1.0, 4.0]])
    assert measure([pair], depth_metrics=['rmse', 'd1']) == pytest.approx({'rmse': math.sqrt(0.5), 'd1': 0.5})
    with pytest.raises(ValueError, match='depth_metrics has rsme, expected some of d1, d2'):
        DepthMetric(depth_metrics=['rsme'])


def test_predictions_are_clamped_to_the_range():
    means = measure([sample([[50.0, 0.0]], [[5.0, 5.0]])], min_depth_eval=1.0, max_depth_eval=10.0)
    assert means['abs_rel'] == pytest.approx((1.0 + 0.8) / 2)
    assert all(math.isfinite(value) for value in measure([sample([[0.0]], [[5.0]])], min_depth_eval=0.0).values())


def test_a_scaled_truth_has_no_scale_invariant_error():
    truth = torch.rand(20, 30) * 3 + 1
    means = measure([sample(2 * truth, truth)])
    assert means['silog_kitti'] < 1e-3 and means['silog'] == pytest.approx(math.log(2) / math.sqrt(2), rel=1e-4)


def test_pixels_without_a_reading_or_beyond_the_range_are_in_no_metric():
    truth = torch.full((4, 6), 3.0)
    truth[0] = torch.tensor([0.0, -1.0, 10.0, 70.0, float('inf'), 0.001])
    pred = torch.full((4, 6), 3.0)
    pred[0] = 9.0
    assert measure([sample(pred, truth)])['rmse'] == 0


def test_an_image_without_truth_is_named_and_left_out():
    empty = sample([[2.0]], [[0.0]], name='dark.jpg')
    other = sample([[2.0]], [[1.0]])
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(f'{record.levelname} {record.getMessage()}')
    logger = MMLogger.get_current_instance()
    logger.addHandler(handler)
    try:
        assert measure([empty, other]) == measure([other])
    finally:
        logger.removeHandler(handler)
    assert [line for line in lines if 'left out' in line] == [
        'WARNING left out, without a truth between 0.001 and 10.0 m within the crop: dark.jpg'
    ]


def test_a_range_that_excludes_everything_is_an_error():
    millimetres = sample([[2.0]], [[2000.0]])
    with pytest.raises(ValueError, match='depth_rescale_factor'):
        measure([millimetres, millimetres])


def test_eigens_crop():
    truth = torch.zeros(480, 640)
    top, bottom, left, right = EIGEN_BOX
    truth[top:bottom, left:right] = 2.0
    pred = truth.clone()
    for row, column in ((44, 300), (471, 300), (200, 40), (200, 601)):  # just outside
        truth[row, column], pred[row, column] = 2.0, 9.0
    assert measure([sample(pred, truth)], crop_type='nyu_crop')['rmse'] == 0
    for row, column in ((45, 41), (470, 600)):  # just inside
        wrong = pred.clone()
        wrong[row, column] = 9.0
        assert measure([sample(wrong, truth)], crop_type='nyu_crop')['rmse'] > 0
    with pytest.raises(ValueError, match='room.jpg.*480×640.*240×320.*crop_type=None'):
        measure([sample(torch.ones(240, 320), torch.ones(240, 320))], crop_type='nyu_crop')


def test_gargs_crop():
    """Rows 153 to 370 and columns 44 to 1196 of 375 × 1242, the size of most of KITTI."""
    truth = torch.full((375, 1242), 20.0)
    pred = torch.full((375, 1242), 70.0)
    pred[153:371, 44:1197] = 20.0
    assert measure([sample(pred, truth)], crop_type='garg_crop', max_depth_eval=80.0)['rmse'] == 0
    for row, column in ((153, 44), (370, 1196)):
        wrong = pred.clone()
        wrong[row, column] = 70.0
        assert measure([sample(wrong, truth)], crop_type='garg_crop', max_depth_eval=80.0)['rmse'] > 0


def test_what_can_not_be_measured_names_the_file():
    with pytest.raises(ValueError, match=r'room.jpg.*\(1, 2\).*\(1, 1\)'):
        measure([sample([[1.0]], [[1.0, 1.0]])])
    with pytest.raises(ValueError, match='room.jpg: the depth map contains NaN'):
        measure([sample([[1.0]], [[float('nan')]])])


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(crop_type='eigen'), 'crop_type is'),
        (dict(min_depth_eval=5, max_depth_eval=5), 'min_depth_eval is 5 and max_depth_eval 5'),
        (dict(format_only=True), 'output_dir'),
    ],
)
def test_nonsense_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        DepthMetric(**options)


def test_predictions_are_written_as_16_bit_millimetres(tmp_path):
    without_truth = sample([[1.2344, 0.5]], [[1.0, 1.0]], name='/data/room_1.jpg')
    del without_truth['gt_depth_map']
    metric = DepthMetric(output_dir=str(tmp_path), format_only=True)
    metric.process({}, [without_truth])
    assert metric.evaluate(1) == {}
    assert cv2.imread(str(tmp_path / 'room_1.png'), cv2.IMREAD_UNCHANGED).tolist() == [[1234, 500]]
