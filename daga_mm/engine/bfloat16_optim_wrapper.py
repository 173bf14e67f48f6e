"""Mixed precision on any device; AmpOptimWrapper refuses the CPU."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.device import get_device
from mmengine.optim import OptimWrapper
from torch import nn

from ..registry import OPTIM_WRAPPERS


@OPTIM_WRAPPERS.register_module()
class BFloat16OptimWrapper(OptimWrapper):
    """An OptimWrapper whose forward passes run in torch's bfloat16 autocast, on whatever device there is.

    Parameters, gradients and the optimiser's states stay in float32. bfloat16 has float32's range, so that no loss has
    to be scaled.
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Autocast, and OptimWrapper's own: no gradients exchanged while they are accumulated."""
        with super().optim_context(model), torch.autocast(get_device(), torch.bfloat16):
            yield
