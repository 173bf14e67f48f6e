"""What the operators share: gradients by recomputation, and float32 for half-precision inputs.

mmcv wraps its operators in autograd functions of its own, which ask the extension for a forward without a
graph and later for the gradients. So the backward runs the forward once more, this time with a graph.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def gradients(function: Callable[..., Tensor], inputs: Sequence[Tensor], grad_output: Tensor) -> tuple[Tensor, ...]:
    """The gradients of ``function(*inputs)``, one per input, for the gradient of its output."""
    with torch.enable_grad():
        leaves = [tensor.detach().requires_grad_() for tensor in inputs]
        output = function(*leaves)
    return torch.autograd.grad(output, leaves, grad_output)


def widen(tensor: Tensor) -> Tensor:
    """float16 and bfloat16 as float32: torchvision has no bfloat16 kernels, and not all of float16."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor
