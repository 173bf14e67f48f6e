import pytest
import torch
from mmcv.ops import MultiScaleDeformableAttention
from mmcv.ops.multi_scale_deform_attn import MultiScaleDeformableAttnFunction
from torch import Tensor

SHAPES = torch.tensor([[4, 6], [3, 2]])
STARTS = torch.tensor([0, 24])


def some_inputs(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    """Value (2, 30, 2, 3), locations (2, 4, 2, 2, 3, 2), some of them outside, and weights (2, 4, 2, 2, 3)."""
    generator = torch.Generator().manual_seed(0)
    value = torch.randn(2, 30, 2, 3, generator=generator, dtype=torch.float64)
    locations = 1.4 * torch.rand(2, 4, 2, 2, 3, 2, generator=generator, dtype=torch.float64) - 0.2
    weights = torch.rand(2, 4, 2, 2, 3, generator=generator, dtype=torch.float64)
    return tuple(tensor.to(dtype).requires_grad_() for tensor in (value, locations, weights))


def reference(value: Tensor, locations: Tensor, weights: Tensor) -> Tensor:
    """The definition, point by point: a pixel counts by how near it is, if it is nearer than 1 on both axes."""
    batch, queries, heads, _, points = weights.shape
    output = []
    for b, n, m in torch.cartesian_prod(*map(torch.arange, (batch, queries, heads))).tolist():
        attended = 0
        for level, (h, w) in enumerate(SHAPES.tolist()):
            pixels = value[b, STARTS[level] : STARTS[level] + h * w, m].view(h, w, -1)
            for p in range(points):
                x, y = (locations[b, n, m, level, p] * torch.tensor([w, h]) - 0.5).unbind()
                near_y, near_x = (1 - (y - torch.arange(h)).abs()).relu(), (1 - (x - torch.arange(w)).abs()).relu()
                sample = torch.einsum('h,w,hwd->d', near_y, near_x, pixels)
                attended = attended + weights[b, n, m, level, p] * sample
        output.append(attended)
    return torch.stack(output).view(batch, queries, -1)


def extension(*inputs: Tensor) -> Tensor:
    value, locations, weights = inputs
    return MultiScaleDeformableAttnFunction.apply(value, SHAPES, STARTS, locations, weights, 64)


def test_values_and_gradients():
    inputs = some_inputs()
    output, expected = extension(*inputs), reference(*inputs)
    torch.testing.assert_close(output, expected)
    direction = torch.randn(output.shape, dtype=output.dtype)
    pairs = zip(*(torch.autograd.grad(y, inputs, direction) for y in (output, expected)), strict=True)
    for gradient, wanted in pairs:
        torch.testing.assert_close(gradient, wanted)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision(dtype):
    inputs = some_inputs(dtype)
    output = extension(*inputs)
    gradients = torch.autograd.grad(output.float().sum(), inputs)
    assert all(tensor.dtype == dtype for tensor in (output, *gradients))
    wide = [tensor.detach().float().requires_grad_() for tensor in inputs]
    expected = extension(*wide)
    torch.testing.assert_close(output, expected.to(dtype))
    for gradient, wanted in zip(gradients, torch.autograd.grad(expected.sum(), wide), strict=True):
        torch.testing.assert_close(gradient, wanted.to(dtype))


def test_no_queries():
    value, locations, weights = some_inputs()
    assert extension(value, locations[:, :0], weights[:, :0]).shape == (2, 0, 6)


def test_the_layer_trains_on_the_cpu():
    layer = MultiScaleDeformableAttention(embed_dims=8, num_heads=2, num_levels=2, num_points=3, batch_first=True)
    query, value = torch.randn(2, 4, 8), torch.randn(2, 30, 8)
    layer(
        query,
        value=value,
        reference_points=torch.rand(2, 4, 2, 2),
        spatial_shapes=SHAPES,
        level_start_index=STARTS,
    ).square().sum().backward()
    assert all(parameter.grad.isfinite().all() and parameter.grad.any() for parameter in layer.parameters())
