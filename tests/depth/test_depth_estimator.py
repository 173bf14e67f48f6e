import pytest
import torch
from mmengine.config import ConfigDict
from mmseg.structures import SegDataSample
from torch import Tensor

IMAGES = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(2))
METAS = [dict(ori_shape=(64, 96), img_shape=(64, 96))] * 2


def run(model, images: Tensor = IMAGES, **test_cfg) -> Tensor:
    model.test_cfg = ConfigDict(test_cfg)
    with torch.no_grad():
        return model.inference(images, [dict(meta) for meta in METAS])


@pytest.mark.parametrize('head', ['linear', 'dpt'])
def test_a_tensor_is_metres_at_the_size_of_the_image(build, head):
    model = build(head)
    for height, width in ((64, 96), (61, 83)):
        images = torch.randn(1, 3, height, width)
        with torch.no_grad():
            depth = model(images, mode='tensor')
        assert depth.shape == (1, 1, height, width)
        assert depth.min() >= 1e-3 and depth.max() <= 10


def test_padding_up_to_whole_patches_is_cut_off_and_not_squeezed_in(build):
    """Zeros at the rim that we add, or that the backbone adds: the same depth."""
    model = build('linear')
    images = torch.randn(1, 3, 61, 83)
    with torch.no_grad():
        padded = model(torch.nn.functional.pad(images, (0, 13, 0, 3)), mode='tensor')
        torch.testing.assert_close(model(images, mode='tensor'), padded[..., :61, :83])


@pytest.mark.parametrize('head', ['linear', 'dpt'])
def test_predictions_have_the_original_size(build, head):
    model = build(head)
    samples = [SegDataSample(metainfo=dict(ori_shape=(128, 192), img_shape=(64, 96))) for _ in IMAGES]
    with torch.no_grad():
        results = model(IMAGES, samples, mode='predict')
    assert [r.pred_depth_map.data.shape for r in results] == [(1, 128, 192)] * 2
    assert [r.pred_depth_map.data.shape for r in model(IMAGES, mode='predict')] == [(1, 64, 96)] * 2


def test_sliding_windows_are_really_used(build):
    model = build('linear')
    whole = run(model, mode='whole')
    torch.testing.assert_close(run(model, mode='slide', crop_size=(64, 96), stride=(64, 96)), whole)
    halves = torch.cat([run(model, IMAGES[..., :48]), run(model, IMAGES[..., 48:])], dim=3)
    slid = run(model, mode='slide', crop_size=(64, 48), stride=(64, 48))
    torch.testing.assert_close(slid, halves)
    assert not torch.allclose(slid, whole)


@pytest.mark.parametrize('mode', [dict(mode='whole'), dict(mode='slide', crop_size=(64, 48), stride=(64, 24))], ids=str)
def test_flip_averages_with_the_mirror_image(build, mode):
    model = build('linear')
    model.decode_head.conv_seg.weight.data.normal_()
    plain, flipped = run(model, **mode), run(model, **mode, flip=True)
    assert not torch.allclose(plain, flipped)
    mirrored = run(model, IMAGES.flip(3), **mode).flip(3)
    torch.testing.assert_close(flipped, (plain + mirrored) / 2)
    torch.testing.assert_close(run(model, IMAGES.flip(3), **mode, flip=True), flipped.flip(3))


def test_modes_that_do_not_exist_are_refused(build):
    with pytest.raises(ValueError, match="mode is 'slide_flip', expected.*flip=True"):
        run(build('linear'), mode='slide_flip')


def test_a_model_without_test_cfg_looks_at_the_whole_image(build):
    model = build('linear')
    expected = run(model, mode='whole')
    model.test_cfg = None
    with torch.no_grad():
        torch.testing.assert_close(model.inference(IMAGES, METAS), expected)
