"""Parts of a forward pass that stay in float32 under mixed precision."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def without_autocast(like: Tensor) -> AbstractContextManager:
    """A context without autocast on the tensor's device; meta tensors have none."""
    device = like.device.type
    return nullcontext() if device == 'meta' else torch.autocast(device, enabled=False)
