"""Controls: what a method is compared with to see what one of its parts is worth."""

from dataclasses import replace

from torch import Tensor

from daga_mm.adapters import DAGA, Context
from daga_mm.registry import ADAPTERS


@ADAPTERS.register_module()
class OthersDAGA(DAGA):
    """A DAGA that reads the attention of another image of the batch; of a batch of one, its own."""

    def after_block(self, index: int, tokens: Tensor, context: Context) -> Tensor:
        assert context.attention is not None
        return super().after_block(index, tokens, replace(context, attention=context.attention.roll(1, dims=0)))
