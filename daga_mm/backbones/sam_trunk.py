"""The image encoders of SAM (arXiv:2304.02643) in timm: windowed attention, no class token."""

from collections.abc import Mapping, Sequence
from typing import Any

import timm
from timm.layers.pos_embed import resample_abs_pos_embed_nhwc
from timm.models import vision_transformer_sam
from torch import Tensor, nn

from .trunk import Trunk


class SAMTrunk(Trunk):
    """A ``samvit_…`` model of timm. Its tokens are patches only; there is no final norm.

    Args:
        arch: A timm model name.
        **kwargs: Changes to the architecture, for timm's constructor.
    """

    has_class_token = False
    num_prefix_tokens = 0

    def __init__(self, arch: str, **kwargs: Any) -> None:
        super().__init__()
        self.arch = arch
        model: Any = timm.create_model(arch, pretrained=False, num_classes=0, **kwargs)
        self.model = model
        self.embed_dims = model.embed_dim
        self.patch_size = model.patch_embed.patch_size[0]
        self.depth = len(model.blocks)
        self.num_heads = model.blocks[0].attn.num_heads

    def embed(self, images: Tensor) -> tuple[Tensor, Any]:
        tokens = self.model.patch_embed(images)  # (B, h, w, D)
        grid = tuple(tokens.shape[1:3])
        if self.model.pos_embed is not None:
            tokens = tokens + resample_abs_pos_embed_nhwc(self.model.pos_embed, grid)
        return self.model.norm_pre(self.model.pos_drop(tokens)).flatten(1, 2), grid

    def block(self, index: int, tokens: Tensor, positions: Any) -> Tensor:
        return self.model.blocks[index](tokens.unflatten(1, positions)).flatten(1, 2)

    def norm(self, tokens: Tensor) -> Tensor:
        return tokens

    def _query_key_modules(self, index: int) -> Sequence[nn.Module]:
        raise ValueError(f'{self.arch} has no class token')  # `tap` refuses before

    def _query_and_keys(self, index: int, taken: list[Tensor], positions: Any) -> tuple[Tensor, Tensor, float]:
        raise ValueError(f'{self.arch} has no class token')

    def _roles(self, block: Any) -> dict[str, nn.Module]:
        return {'mlp_branch': block.drop_path2}  # attention adds to windows, which no module joins again

    def unused_parameters(self) -> tuple[str, ...]:
        return ('model.neck.', 'model.head.')

    def convert(self, state: Mapping[str, Tensor], origin: str) -> dict[str, Tensor]:
        """Official SAM checkpoints, of which the image encoder is read, and timm's own."""
        return vision_transformer_sam.checkpoint_filter_fn(dict(state), self.model)
