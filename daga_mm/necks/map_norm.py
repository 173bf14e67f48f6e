"""A norm between backbone and head."""

from collections.abc import Sequence

from mmcv.cnn import build_norm_layer
from mmengine.model import BaseModule
from torch import Tensor, nn

from ..registry import MODELS


@MODELS.register_module()
class MapNorm(BaseModule):
    """Normalise each map: DINOv3's linear heads have dropout and a batch norm before their 1×1 convolution.

    Args:
        embed_dims: Channels D of the maps.
        num_maps: Number of maps.
        norm_cfg: The norm. Synchronised batch norm is batch norm in a single process.
        dropout_ratio: Share of channels that are dropped before the norm, in training.
        init_cfg: Initialisation of the weights, as in mmengine.
    """

    def __init__(
        self,
        embed_dims: int,
        num_maps: int = 1,
        norm_cfg: dict | None = None,
        dropout_ratio: float = 0.0,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        norm_cfg = norm_cfg or dict(type='SyncBN')
        self.dropout = nn.Dropout2d(dropout_ratio)
        self.norms = nn.ModuleList(build_norm_layer(norm_cfg, embed_dims)[1] for _ in range(num_maps))

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Maps (B, D, h, w) -> maps of the same shapes."""
        return tuple(norm(self.dropout(x)) for norm, x in zip(self.norms, inputs, strict=True))
