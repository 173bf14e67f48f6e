import pytest
import torch
from mmcv.ops import RoIAlign, roi_align
from torch import Tensor
from torch.nn import functional as F

ROIS = torch.tensor([[0, 3.0, 5, 40, 33], [1, 10, 2, 61, 21], [1, 0, 0, 64, 48], [0, 20, 20, 21, 21]])


def some_features() -> Tensor:
    return torch.randn(2, 3, 12, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def reference(features: Tensor, rois: Tensor, size: tuple[int, int], scale: float, aligned: bool) -> Tensor:
    """RoIAlign from its definition: the mean of 2 × 2 bilinear samples in each bin."""
    height, width = features.shape[-2:]
    pooled = []
    for image, *corners in rois.tolist():
        x1, y1, x2, y2 = (corner * scale - 0.5 * aligned for corner in corners)
        box_h, box_w = (side if aligned else max(side, 1.0) for side in (y2 - y1, x2 - x1))
        ys, xs = (
            start + (torch.arange(2 * bins, dtype=features.dtype) + 0.5) * side / (2 * bins)
            for start, side, bins in ((y1, box_h, size[0]), (x1, box_w, size[1]))
        )
        y, x = torch.meshgrid(2 * ys / (height - 1) - 1, 2 * xs / (width - 1) - 1, indexing='ij')
        grid = torch.stack([x, y], dim=-1)[None]  # (1, 2·h, 2·w, 2)
        samples = F.grid_sample(features[int(image)][None], grid, padding_mode='border', align_corners=True)
        pooled.append(F.avg_pool2d(samples, 2))
    return torch.cat(pooled)


@pytest.mark.parametrize('aligned', [True, False])
@pytest.mark.parametrize('size', [(7, 7), (2, 5)])
def test_values_and_gradients(size, aligned):
    features = some_features().requires_grad_()
    pooled = RoIAlign(size, spatial_scale=0.25, sampling_ratio=2, aligned=aligned)(features, ROIS.double())
    expected = reference(features, ROIS, size, 0.25, aligned)
    torch.testing.assert_close(pooled, expected)
    direction = torch.randn(pooled.shape, dtype=pooled.dtype)
    gradients = [torch.autograd.grad(output, features, direction)[0] for output in (pooled, expected)]
    torch.testing.assert_close(*gradients)


def test_sampling_ratio_zero_adapts_to_the_bin():
    ramp = torch.arange(16.0).expand(1, 1, 12, 16)  # linear in x: a bin's mean is its centre, however it is sampled
    pooled = roi_align(ramp, torch.tensor([[0, 2.0, 1, 14, 11]]), 3, 1.0, 0, 'avg', True)
    torch.testing.assert_close(pooled[0, 0], torch.tensor([3.5, 7.5, 11.5]).expand(3, 3))


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision(dtype):
    layer = RoIAlign(3, spatial_scale=0.25, sampling_ratio=2)
    features = some_features().to(dtype).requires_grad_()
    pooled = layer(features, ROIS)  # boxes stay float32 under mixed precision
    pooled.float().sum().backward()
    wide = features.detach().float().requires_grad_()
    layer(wide, ROIS).sum().backward()
    assert pooled.dtype == features.grad.dtype == dtype
    torch.testing.assert_close(pooled, layer(wide, ROIS).to(dtype))
    torch.testing.assert_close(features.grad, wide.grad.to(dtype))


def test_no_boxes():
    features = some_features().requires_grad_()
    pooled = RoIAlign(7)(features, torch.empty(0, 5, dtype=torch.float64))
    pooled.sum().backward()
    assert pooled.shape == (0, 3, 7, 7) and not features.grad.any()


def test_max_pooling_is_refused():
    with pytest.raises(NotImplementedError, match="pool_mode='max'.*tools/build_mmcv.sh"):
        RoIAlign(7, pool_mode='max')(some_features(), ROIS.double())
