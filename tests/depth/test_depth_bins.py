import pytest
import torch

from daga_mm.depth import DepthBins


def test_one_strong_channel_decides_and_equal_ones_give_the_middle():
    bins = DepthBins(5, min_depth=1.0, max_depth=9.0)  # 1 3 5 7 9
    logits = torch.zeros(1, 5, 2, 3)
    torch.testing.assert_close(bins(logits), torch.full((1, 1, 2, 3), 5.0))
    logits[:, 3] = 1e6
    torch.testing.assert_close(bins(logits), torch.full((1, 1, 2, 3), 7.0))


def test_weights_are_relu_plus_a_tenth_divided_by_their_sum():
    logits = torch.tensor([-3.0, 0.4, 0.9]).view(1, 3, 1, 1)
    # weights 0.1, 0.5, 1.0 of 1.6; bins 0, 5, 10
    assert float(DepthBins(3, 0.0, 10.0)(logits)) == pytest.approx((0.5 * 5 + 1.0 * 10) / 1.6)


def test_log_bins_have_equal_ratios():
    bins = DepthBins(4, min_depth=0.01, max_depth=10.0, spacing='log').bins
    torch.testing.assert_close(bins, torch.tensor([0.01, 0.1, 1.0, 10.0]))


@pytest.mark.parametrize('options', [{}, {'spacing': 'log'}, {'num_bins': None}], ids=str)
def test_depth_is_within_the_range_in_any_precision_and_has_a_gradient(options):
    bins = DepthBins(**options)
    logits = (torch.randn(2, bins.in_channels, 4, 5) * 100).bfloat16().requires_grad_()
    depth = bins(logits)
    assert depth.shape == (2, 1, 4, 5) and depth.dtype == torch.float32
    assert depth.min() >= 1e-3 and depth.max() <= 10
    start = torch.zeros(1, bins.in_channels, 1, 1, requires_grad=True)
    bins(start + 0.01).sum().backward()
    assert start.grad.abs().max() > 0


@pytest.mark.parametrize('num_bins', [256, None])
def test_mixed_precision_does_not_coarsen_depth(num_bins):
    bins = DepthBins(num_bins)
    logits = torch.randn(1, bins.in_channels, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.autocast('cpu', dtype=torch.bfloat16):
        depth = bins(logits)
    assert depth.dtype == torch.float32 and torch.equal(depth, bins(logits))


def test_regression_is_a_sigmoid_over_the_range():
    assert float(DepthBins(None, 2.0, 10.0)(torch.zeros(1, 1, 1, 1))) == pytest.approx(6.0)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(num_bins=1), 'num_bins is 1, expected 2 or more'),
        (dict(min_depth=3, max_depth=3), 'min_depth is 3 and max_depth 3'),
        (dict(spacing='cubic'), 'linear.*log'),
        (dict(spacing='log', min_depth=0), 'min_depth is 0'),
    ],
)
def test_nonsense_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        DepthBins(**options)
