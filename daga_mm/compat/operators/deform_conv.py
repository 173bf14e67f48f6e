"""Deformable convolution (Dai et al., 2017) and its modulated form (Zhu et al., 2019), on torchvision.

Shapes, with kernel kh × kw and G deformable groups: input (B, C, H, W), weight (O, C / groups, kh, kw),
offset (B, 2·G·kh·kw, h, w) as y, x pairs, mask (B, G·kh·kw, h, w), output (B, O, h, w); both libraries order
the offsets in this way. ``columns`` and ``ones`` are the extension's scratch space and are not used. mmcv
passes the numbers by keyword: of those, kernel and group sizes are in the shapes, where torchvision reads
them, and ``im2col_step`` is the extension's batch split.
"""

from torch import Tensor
from torchvision.ops import deform_conv2d

from .autodiff import gradients, widen

Pair = tuple[int, int]
Strides = tuple[Pair, Pair, Pair]  # stride, padding, dilation; each y, x


def _convolve(
    input: Tensor,
    offset: Tensor,
    weight: Tensor,
    strides: Strides,
    mask: Tensor | None = None,
    bias: Tensor | None = None,
) -> Tensor:
    stride, padding, dilation = strides
    wide_bias = None if bias is None else widen(bias)
    wide_mask = None if mask is None else widen(mask)
    output = deform_conv2d(widen(input), widen(offset), widen(weight), wide_bias, stride, padding, dilation, wide_mask)
    return output.to(input.dtype)


def _strides(dH: int, dW: int, padH: int, padW: int, dilationH: int, dilationW: int, **_) -> Strides:
    return (dH, dW), (padH, padW), (dilationH, dilationW)


def deform_conv_forward(
    input: Tensor, weight: Tensor, offset: Tensor, output: Tensor, columns: Tensor, ones: Tensor, **numbers
) -> None:
    """Write the deformable convolution of ``input`` into ``output``."""
    output.copy_(_convolve(input, offset, weight, _strides(**numbers)))


def deform_conv_backward_input(
    input: Tensor,
    offset: Tensor,
    gradOutput: Tensor,
    gradInput: Tensor,
    gradOffset: Tensor,
    weight: Tensor,
    columns: Tensor,
    **numbers,
) -> None:
    """Write the gradients of ``deform_conv_forward`` by input and offset."""

    def convolve(input: Tensor, offset: Tensor) -> Tensor:
        return _convolve(input, offset, weight, _strides(**numbers))

    grad_input, grad_offset = gradients(convolve, [input, offset], gradOutput)
    gradInput.copy_(grad_input)
    gradOffset.copy_(grad_offset)


def deform_conv_backward_parameters(
    input: Tensor,
    offset: Tensor,
    gradOutput: Tensor,
    gradWeight: Tensor,
    columns: Tensor,
    ones: Tensor,
    scale: float,
    **numbers,
) -> None:
    """Add ``scale`` times the gradient of ``deform_conv_forward`` by its weight to ``gradWeight``."""

    def convolve(weight: Tensor) -> Tensor:
        return _convolve(input, offset, weight, _strides(**numbers))

    # The weight is not passed. The convolution is linear in it: any of the right shape has the same gradient.
    gradWeight.add_(gradients(convolve, [gradWeight], gradOutput)[0], alpha=scale)


def _modulated_strides(
    stride_h: int, stride_w: int, pad_h: int, pad_w: int, dilation_h: int, dilation_w: int, **_
) -> Strides:
    return (stride_h, stride_w), (pad_h, pad_w), (dilation_h, dilation_w)


def modulated_deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    output: Tensor,
    columns: Tensor,
    with_bias: bool,
    **numbers,
) -> None:
    """Write the modulated deformable convolution of ``input`` into ``output``; ``bias`` may be empty."""
    strides = _modulated_strides(**numbers)
    output.copy_(_convolve(input, offset, weight, strides, mask, bias if with_bias else None))


def modulated_deform_conv_backward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    columns: Tensor,
    grad_input: Tensor,
    grad_weight: Tensor,
    grad_bias: Tensor,
    grad_offset: Tensor,
    grad_mask: Tensor,
    grad_output: Tensor,
    with_bias: bool,
    **numbers,
) -> None:
    """Write the gradients of ``modulated_deform_conv_forward`` into the five ``grad_`` tensors."""
    strides = _modulated_strides(**numbers)

    def convolve(input: Tensor, offset: Tensor, weight: Tensor, mask: Tensor, bias: Tensor | None = None) -> Tensor:
        return _convolve(input, offset, weight, strides, mask, bias)

    inputs = [input, offset, weight, mask] + [bias] * with_bias
    targets = [grad_input, grad_offset, grad_weight, grad_mask] + [grad_bias] * with_bias
    for target, gradient in zip(targets, gradients(convolve, inputs, grad_output), strict=True):
        target.copy_(gradient)
