import pytest
import torch
from torch import Tensor

from daga_mm import compat  # noqa: F401  before mmcv.ops
from daga_mm.layers import deformable_sampling, sample_deformably

mmcv_attention = pytest.importorskip('mmcv.ops.multi_scale_deform_attn').multi_scale_deformable_attn_pytorch
by_grid_sample = getattr(mmcv_attention, '__wrapped__', mmcv_attention)  # compat puts ours in its place

LEVELS = ([(5, 7)], [(8, 6), (4, 3), (1, 1)], [(3, 4), (9, 8), (4, 5), (1, 2)])


def draw(shapes: list[tuple[int, int]], dtype: torch.dtype, queries: int = 50) -> tuple[Tensor, ...]:
    """Values of 3 heads of 4 channels; 6 points per level, within it and up to more than a map outside; weights."""
    generator = torch.Generator().manual_seed(0)
    points = (2, queries, 3, len(shapes), 6)
    value = torch.randn(2, sum(h * w for h, w in shapes), 3, 4, generator=generator, dtype=dtype)
    locations = 1.6 * torch.rand(*points, 2, generator=generator, dtype=dtype) - 0.3
    locations[:, ::7] += 1.5 * torch.randn(locations[:, ::7].shape, generator=generator, dtype=dtype)
    weights = torch.rand(points, generator=generator, dtype=dtype)
    return tuple(x.requires_grad_() for x in (value, locations, weights))


@pytest.mark.parametrize('shapes', LEVELS, ids=len)
@pytest.mark.parametrize(('dtype', 'tolerance'), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_sums_and_gradients_are_those_of_mmcv(shapes, dtype, tolerance):
    value, *points = inputs = draw(shapes, dtype)
    plain, ours = by_grid_sample(value, shapes, *points), sample_deformably(value, shapes, *points)
    assert ours.shape == (2, 50, 12) and ours.dtype == dtype
    torch.testing.assert_close(ours, plain, atol=tolerance, rtol=tolerance)
    direction = torch.randn_like(plain)
    for mine, theirs in zip(
        torch.autograd.grad(ours, inputs, direction), torch.autograd.grad(plain, inputs, direction), strict=True
    ):
        torch.testing.assert_close(mine, theirs, atol=tolerance * theirs.abs().max().item(), rtol=tolerance)


@pytest.mark.parametrize('shapes', LEVELS, ids=len)
def test_exported_graphs_hold_the_same_sum(shapes):
    inputs = draw(shapes, torch.float32)
    found = deformable_sampling._gather(inputs[0], shapes, *inputs[1:])
    torch.testing.assert_close(found, sample_deformably(inputs[0], shapes, *inputs[1:]), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize('shapes', [[(3, 4)], [(2, 3), (1, 2), (3, 1)], [(3, 2), (2, 2), (2, 1), (1, 1)]], ids=len)
def test_gradients_are_those_of_finite_differences(shapes):
    inputs = draw(shapes, torch.float64, queries=2)
    assert torch.autograd.gradcheck(lambda value, *points: sample_deformably(value, shapes, *points), inputs)


def test_every_place_outside_reads_zeros():
    """All around the maps, at whole pixels, where a neighbour on the canvas would be another line or level."""
    shapes = [(2, 3), (3, 1)]
    value = torch.ones(1, 9, 1, 1)
    for level, (h, w) in enumerate(shapes):
        x, y = torch.meshgrid(torch.arange(-5.0, w + 5), torch.arange(-5.0, h + 5), indexing='xy')
        places = (torch.stack([x, y], dim=-1) + 0.5) / torch.tensor([w, h])
        locations = torch.zeros(1, x.numel(), 1, 2, 1, 2)
        locations[0, :, 0, level, 0] = places.flatten(0, 1)
        locations.requires_grad_()
        weights = torch.zeros(1, x.numel(), 1, 2, 1)
        weights[:, :, :, level] = 1
        read = sample_deformably(value, shapes, locations, weights)
        inside = (x >= 0) & (x < w) & (y >= 0) & (y < h)
        torch.testing.assert_close(read.view_as(x), inside.float(), atol=1e-6, rtol=0)
        read.sum().backward()
        far = (x < -1.5) | (x > w + 0.5) | (y < -1.5) | (y > h + 0.5)
        assert not locations.grad[0, far.flatten()].any()


def test_no_queries():
    value, locations, weights = inputs = draw([(5, 7), (2, 2)], torch.float32, queries=0)
    output = sample_deformably(value, [(5, 7), (2, 2)], locations, weights)
    assert output.shape == (2, 0, 12)
    assert not torch.autograd.grad(output.sum(), inputs)[0].any()


def test_nan_is_passed_on_and_only_to_its_query():
    value, locations, weights = (x.detach() for x in draw([(5, 7)], torch.float32))
    expected = sample_deformably(value, [(5, 7)], locations, weights)
    locations[1, 3] = torch.nan
    output = sample_deformably(value, [(5, 7)], locations, weights)
    assert output[1, 3].isnan().all()
    output[1, 3] = expected[1, 3]
    torch.testing.assert_close(output, expected)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_is_summed_up_in_single(dtype):
    shapes = [(5, 7), (3, 2)]
    value, locations, weights = draw(shapes, torch.float32)
    half = value.detach().to(dtype).requires_grad_()
    wide = half.detach().float().requires_grad_()
    outputs = [sample_deformably(x, shapes, locations, weights) for x in (half, wide)]
    assert outputs[0].dtype == dtype and torch.equal(outputs[0], outputs[1].to(dtype))
    gradients = [torch.autograd.grad(y.sum(), (x, locations)) for y, x in zip(outputs, (half, wide), strict=True)]
    assert torch.equal(gradients[0][0], gradients[1][0].to(dtype)) and torch.equal(gradients[0][1], gradients[1][1])


def test_only_the_inputs_are_kept():
    """Between forward and backward: nothing of what single points read."""
    inputs = draw([(5, 7), (3, 2)], torch.float32)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x.data_ptr()) or x, lambda x: x):
        sample_deformably(inputs[0], [(5, 7), (3, 2)], *inputs[1:])
    assert kept == [x.data_ptr() for x in inputs]


def test_maps_read_in_parts_are_read_whole():
    """Products of gradients and rows are computed in chunks: of one query's points, and of the rest."""
    shapes = [(6, 6), (3, 3)]
    generator = torch.Generator().manual_seed(0)
    value = torch.randn(1, 45, 2, 512, generator=generator, requires_grad=True)
    locations = torch.rand(1, 23, 2, 2, 8, 2, generator=generator, requires_grad=True)
    weights = torch.rand(1, 23, 2, 2, 8, generator=generator, requires_grad=True)
    inputs = (value, locations, weights)
    direction = torch.randn(1, 23, 1024, generator=generator)
    results = [
        torch.autograd.grad(f(value, shapes, locations, weights), inputs, direction)
        for f in (sample_deformably, by_grid_sample)
    ]
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5 * theirs.abs().max().item(), rtol=1e-5)
