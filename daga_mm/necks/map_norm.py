"""A norm between backbone and head."""

from collections.abc import Sequence

from mmcv.cnn import build_norm_layer
from mmengine.model import BaseModule
from torch import Tensor, nn

from ..registry import MODELS


@MODELS.register_module()
class MapNorm(BaseModule):
    """Normalise each map: DINOv3's linear heads have a batch norm before their 1×1 convolution.

    Args:
        embed_dims: Channels D of the maps.
        num_maps: How many there are.
        norm_cfg: The norm. Synchronised batch norm is batch norm in a single process.
        init_cfg: Initialisation of the weights, as in mmengine.
    """

    def __init__(
        self, embed_dims: int, num_maps: int = 1, norm_cfg: dict | None = None, init_cfg: dict | None = None
    ) -> None:
        super().__init__(init_cfg)
        norm_cfg = norm_cfg or dict(type='SyncBN')
        self.norms = nn.ModuleList(build_norm_layer(norm_cfg, embed_dims)[1] for _ in range(num_maps))

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Maps (B, D, h, w) -> maps of the same shapes."""
        return tuple(norm(x) for norm, x in zip(self.norms, inputs, strict=True))
