import pytest
import torch

from daga_mm import compat  # noqa: F401  before mmcv.ops
from daga_mm.layers import sample_deformably

mmcv_attention = pytest.importorskip('mmcv.ops.multi_scale_deform_attn')


def draw(dtype: torch.dtype) -> tuple[torch.Tensor, ...]:
    """Values of a 5×7 map, places within it and far outside, weights."""
    generator = torch.Generator().manual_seed(0)
    value = torch.randn(2, 35, 3, 4, generator=generator, dtype=dtype, requires_grad=True)
    places = 1.6 * torch.rand(2, 50, 3, 6, 2, generator=generator, dtype=dtype) - 0.3
    weights = torch.rand(2, 50, 3, 6, generator=generator, dtype=dtype)
    return value, places.requires_grad_(), weights.requires_grad_()


@pytest.mark.parametrize(('dtype', 'tolerance'), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_sums_and_gradients_are_those_of_mmcv(dtype, tolerance):
    value, places, weights = inputs = draw(dtype)
    plain = mmcv_attention.multi_scale_deformable_attn_pytorch(
        value, torch.tensor([[5, 7]]), places[:, :, :, None], weights[:, :, :, None]
    )
    ours = sample_deformably(value, (5, 7), places, weights)
    assert ours.shape == (2, 50, 12) and ours.dtype == dtype
    torch.testing.assert_close(ours, plain, atol=tolerance, rtol=tolerance)
    upstream = torch.randn_like(plain)
    for mine, theirs in zip(
        torch.autograd.grad(ours, inputs, upstream), torch.autograd.grad(plain, inputs, upstream), strict=True
    ):
        torch.testing.assert_close(mine, theirs, atol=50 * tolerance, rtol=tolerance)


def test_half_precision_is_summed_up_in_single():
    value, places, weights = (x.detach() for x in draw(torch.float32))
    exact = sample_deformably(value.bfloat16().float(), (5, 7), places, weights)
    half = sample_deformably(value.bfloat16(), (5, 7), places, weights)
    assert half.dtype == torch.bfloat16 and torch.equal(half, exact.bfloat16())


def test_what_single_points_read_is_not_kept():
    """Between forward and backward: nothing of num_points times the size of what comes out."""
    value, places, weights = draw(torch.float32)
    value = value.repeat(1, 1, 1, 16)  # channels as they are, more than coordinates
    kept: list[int] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.numel()) or t, lambda t: t):
        output = sample_deformably(value, (5, 7), places, weights)
    assert max(kept) < 6 * output.numel() / 2
