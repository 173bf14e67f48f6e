import cv2
import numpy as np
import pytest
import torch
from mmengine.registry import DATASETS, TRANSFORMS, init_default_scope

from daga_mm.depth import ColorAug, DepthMetric, FixedCrop, LoadDepthAnnotation, SigLogLoss

from ..conftest import SAMPLES
from .conftest import read_config

NYU = SAMPLES / 'rgbd_sample/nyu'
needs_nyu = pytest.mark.skipif(not NYU.is_dir(), reason=f'no RGB-D sample at {NYU}; DAGA_MM_SAMPLES names its folder')


def load(path, shape=(3, 4), **options) -> np.ndarray:
    """Read the depth of an image of this shape."""
    results = {'img_path': 'room.jpg', 'depth_map_path': str(path), 'ori_shape': shape, 'seg_fields': []}
    results = LoadDepthAnnotation(depth_rescale_factor=1e-3, **options)(results)
    assert results['seg_fields'] == ['gt_depth_map']
    return results['gt_depth_map']


@needs_nyu
def test_millimetres_of_a_file_come_out_of_the_test_pipeline_as_metres(monkeypatch):
    monkeypatch.setenv('NYU_ROOT', str(NYU))
    config = read_config('linear')
    init_default_scope('mmseg')
    dataset = DATASETS.build(config.test_dataloader.dataset)
    assert len(dataset) == 5
    for item in dataset:
        found = item['data_samples']
        path = found.depth_map_path
        millimetres = cv2.imread(path, cv2.IMREAD_UNCHANGED)
        assert millimetres.dtype == np.uint16 and 500 < millimetres.max() < 10000  # a room
        truth = found.gt_depth_map.data
        np.testing.assert_allclose(truth[0].numpy(), millimetres / 1000, rtol=1e-6)
        assert item['inputs'].shape == (3, 480, 640) and truth.shape == (1, 480, 640)

        # A prediction that is right where there is a reading, and absurd elsewhere, is perfect.
        pred = torch.where(truth > 0, truth, 9.0)
        assert (truth == 0).any()
        metric = DepthMetric(crop_type='nyu_crop')
        sample = {'img_path': path, 'pred_depth_map': {'data': pred}, 'gt_depth_map': {'data': truth}}
        metric.process({}, [sample])
        means = metric.evaluate(1)
        assert means['rmse'] == 0 and means['d1'] == 1
        assert SigLogLoss(warm_up_iters=0)(pred[None], truth[None]) < 1e-5


@needs_nyu
def test_the_training_pipeline_keeps_image_and_depth_together(monkeypatch):
    """Depth drawn from the image's own pixels must still fit the image after rotation, flip and crop."""
    monkeypatch.setenv('NYU_ROOT', str(NYU))
    config = read_config('linear')
    init_default_scope('mmseg')
    pipeline = [TRANSFORMS.build(step) for step in config.train_pipeline[2:]]
    rows, columns = np.mgrid[0:480, 0:640].astype(np.float32)
    pipeline[-2].prob = 0  # no colours
    pipeline[1].prob, pipeline[1].degree = 1, (2.5, 2.5)  # far enough for empty corners in every crop
    results = {
        'img': np.stack([rows / 2, columns / 3, rows * 0], axis=2).clip(0, 255).astype(np.uint8),
        'gt_depth_map': rows / 2 + 1,
        'img_shape': (480, 640),
        'ori_shape': (480, 640),
        'seg_fields': ['gt_depth_map'],
    }
    for step in pipeline:
        results = step(results)
    image, depth = results['inputs'].float(), results['data_samples'].gt_depth_map.data[0]
    assert image.shape == (3, 416, 544) and depth.shape == (416, 544)
    known = depth > 0
    assert 0.9 < known.float().mean() <= 1
    assert depth.max() <= 241, 'rotation pads depth with something that is not 0'
    difference = (image[0] + 1 - depth)[known]
    assert difference.abs().median() < 1 and (difference.abs() < 2).float().mean() > 0.99


def test_depth_of_kittis_scale(tmp_path):
    cv2.imwrite(str(tmp_path / 'a.png'), np.array([[0, 256, 20480]], np.uint16))
    results = {'img_path': 'a', 'depth_map_path': str(tmp_path / 'a.png'), 'ori_shape': (1, 3), 'seg_fields': []}
    assert LoadDepthAnnotation(depth_rescale_factor=1 / 256)(results)['gt_depth_map'].tolist() == [[0, 1, 80]]


def test_what_can_not_be_the_depth_of_the_image_is_refused(tmp_path):
    path = tmp_path / 'depth.png'
    cv2.imwrite(str(path), np.ones((3, 4), np.uint16))
    assert load(path).tolist() == [[pytest.approx(1e-3)] * 4] * 3
    with pytest.raises(ValueError, match='depth.png .*3×4 .*room.jpg .*6×8'):
        load(path, shape=(6, 8))
    cv2.imwrite(str(path), np.ones((3, 4, 3), np.uint16))
    with pytest.raises(ValueError, match=r'depth.png has shape \(3, 4, 3\)'):
        load(path)
    for damaged in (b'', b'no image'):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match='depth.png cannot be decoded'):
            load(path)
    with pytest.raises(FileNotFoundError, match='nowhere.png'):
        load(tmp_path / 'nowhere.png')
    np.save(tmp_path / 'depth.npy', np.array([[1.0, np.nan]], np.float32))
    with pytest.raises(ValueError, match=r'depth.npy holds NaN.*depth is 0'):
        load(tmp_path / 'depth.npy', shape=(1, 2), decode_backend='numpy')


def test_fixed_crop():
    image = np.arange(6 * 8 * 3, dtype=np.uint8).reshape(6, 8, 3)
    results = {'img': image, 'gt_depth_map': image[..., 0], 'seg_fields': ['gt_depth_map'], 'img_path': 'room.jpg'}
    cropped = FixedCrop(box=(1, 5, 2, 7))(dict(results))
    assert cropped['img_shape'] == (4, 5)
    assert np.array_equal(cropped['img'], image[1:5, 2:7])
    assert np.array_equal(cropped['gt_depth_map'], image[1:5, 2:7, 0])
    with pytest.raises(ValueError, match='1:7 .*2:7 .*room.jpg, 6×8'):
        FixedCrop(box=(1, 7, 2, 7))(dict(results))


def test_color_aug():
    image = np.full((4, 5, 3), 100, np.uint8)
    image[0, 0] = 0, 250, 10
    assert np.array_equal(ColorAug(prob=0)({'img': image.copy()})['img'], image)
    still = dict(prob=1, gamma_range=(1, 1), brightness_range=(1, 1), color_range=(1, 1))
    assert np.array_equal(ColorAug(**still)({'img': image.copy()})['img'], image)
    brighter = ColorAug(**still | dict(brightness_range=(1.2, 1.2)))({'img': image.copy()})['img']
    assert (
        brighter.dtype == np.uint8 and brighter[0, 0].tolist() == [0, 255, 12] and brighter[1, 1].tolist() == [120] * 3
    )
    darker = ColorAug(**still | dict(gamma_range=(0.9, 0.9)))({'img': image.copy()})['img']
    assert darker[1, 1].tolist() == [round(100**0.9)] * 3
    coloured = ColorAug(**still | dict(color_range=(0.5, 1.5)))({'img': image.copy()})['img']
    assert len(set(coloured[1, 1].tolist())) == 3
