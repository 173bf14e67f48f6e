import pytest
import torch
from mmcv.ops import DeformConv2d, DeformConv2dPack, ModulatedDeformConv2d, ModulatedDeformConv2dPack
from torch import Tensor
from torch.nn import functional as F

KERNEL, STRIDE, PADDING, DILATION = (3, 2), (2, 1), (1, 2), (1, 2)  # nothing square: exchanged axes show
GEOMETRY = dict(kernel_size=KERNEL, stride=STRIDE, padding=PADDING, dilation=DILATION)
GROUPS = pytest.mark.parametrize(('groups', 'deform_groups'), [(1, 1), (2, 1), (2, 4)])


def some_inputs(deform_groups: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    """Input (2, 4, 9, 8), offset (2, G · 6 · 2, 5, 10) and mask (2, G · 6, 5, 10)."""
    generator = torch.Generator().manual_seed(0)

    def random(channels: int, *size: int) -> Tensor:
        return torch.randn(2, channels, *size, generator=generator, dtype=torch.float64)

    tensors = random(4, 9, 8), 1.5 * random(deform_groups * 12, 5, 10), random(deform_groups * 6, 5, 10).sigmoid()
    return tuple(tensor.to(dtype).requires_grad_() for tensor in tensors)


def reference(layer: DeformConv2d, x: Tensor, offset: Tensor, mask: Tensor | None = None) -> Tensor:
    """From the definition: sample each tap where its offset points (zero outside), weigh, and multiply out."""
    batch, channels, height, width = x.shape
    h, w = offset.shape[-2:]
    groups, taps = layer.deform_groups, KERNEL[0] * KERNEL[1]
    offset = offset.view(batch, groups, *KERNEL, 2, h, w)
    tap_y, tap_x = (torch.arange(k, dtype=x.dtype) * d for k, d in zip(KERNEL, DILATION, strict=True))
    out_y, out_x = (torch.arange(n) * s - p for n, s, p in zip((h, w), STRIDE, PADDING, strict=True))
    y = offset[:, :, :, :, 0] + tap_y[:, None, None, None] + out_y[:, None]
    x_ = offset[:, :, :, :, 1] + tap_x[:, None, None] + out_x
    grid = torch.stack([2 * x_ / (width - 1) - 1, 2 * y / (height - 1) - 1], dim=-1)  # (B, G, kh, kw, h, w, 2)
    per_group = x.view(batch * groups, channels // groups, height, width)
    samples = F.grid_sample(per_group, grid.view(batch * groups, taps * h, w, 2), align_corners=True)
    samples = samples.view(batch, groups, channels // groups, taps, h * w)
    if mask is not None:
        samples = samples * mask.view(batch, groups, 1, taps, h * w)
    columns = samples.reshape(batch, layer.groups, -1, h * w)
    weight = layer.weight.view(layer.groups, layer.out_channels // layer.groups, -1)
    output = torch.einsum('bgkn,gok->bgon', columns, weight).reshape(batch, layer.out_channels, h, w)
    return output if layer.bias is None or mask is None else output + layer.bias[:, None, None]


def assert_same_values_and_gradients(output: Tensor, expected: Tensor, inputs: list[Tensor]) -> None:
    torch.testing.assert_close(output, expected)
    direction = torch.randn(output.shape, dtype=output.dtype)
    pairs = zip(*(torch.autograd.grad(y, inputs, direction) for y in (output, expected)), strict=True)
    for gradient, wanted in pairs:
        assert wanted.any()
        torch.testing.assert_close(gradient, wanted)


@GROUPS
def test_deform_conv(groups, deform_groups):
    layer = DeformConv2d(4, 6, **GEOMETRY, groups=groups, deform_groups=deform_groups).double()
    layer.bias = None
    x, offset, _ = some_inputs(deform_groups)
    assert_same_values_and_gradients(layer(x, offset), reference(layer, x, offset), [x, offset, layer.weight])


@GROUPS
@pytest.mark.parametrize('bias', [True, False])
def test_modulated_deform_conv(groups, deform_groups, bias):
    layer = ModulatedDeformConv2d(4, 6, **GEOMETRY, groups=groups, deform_groups=deform_groups, bias=bias).double()
    if bias:
        torch.nn.init.normal_(layer.bias)
    x, offset, mask = some_inputs(deform_groups)
    output, expected = layer(x, offset, mask), reference(layer, x, offset, mask)
    assert_same_values_and_gradients(output, expected, [x, offset, mask, *layer.parameters()])


def test_without_offsets_they_are_convolutions():
    x = some_inputs(1)[0]
    for pack, factor in ((DeformConv2dPack, 1.0), (ModulatedDeformConv2dPack, 0.5)):  # a fresh mask is sigmoid(0)
        layer = pack(4, 6, **GEOMETRY, deform_groups=2).double()
        plain = F.conv2d(x, layer.weight, None, STRIDE, PADDING, DILATION)
        torch.testing.assert_close(layer(x), factor * plain)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision(dtype):
    modulated = ModulatedDeformConv2d(4, 6, **GEOMETRY, bias=True)
    plain = DeformConv2d(4, 6, **GEOMETRY)
    x, offset, mask = some_inputs(1, dtype)
    for layer, inputs in ((modulated, (x, offset, mask)), (plain, (x, offset))):
        output = layer.to(dtype)(*inputs)
        gradients = torch.autograd.grad(output.float().sum(), inputs)
        assert all(tensor.dtype == dtype for tensor in (output, *gradients))
        wide = [tensor.detach().float().requires_grad_() for tensor in inputs]
        expected = layer.float()(*wide)
        torch.testing.assert_close(output, expected.to(dtype), atol=0.02, rtol=0.02)
        for gradient, wanted in zip(gradients, torch.autograd.grad(expected.sum(), wide), strict=True):
            torch.testing.assert_close(gradient, wanted.to(dtype), atol=0.02, rtol=0.02)
