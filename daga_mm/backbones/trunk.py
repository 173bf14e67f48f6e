"""A vision transformer, one block at a time.

DAGAViT steps in between the blocks of a model that somebody else wrote. What it needs of such a model is the
small interface `Trunk`; below it are timm's ViT and EVA families and the official DINOv3 package.
"""

import difflib
import importlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import timm
import torch
import torch.nn.functional as F
from timm.layers import Attention, AttentionRope, apply_rot_embed_cat
from timm.layers.pos_embed_sincos import RotaryEmbeddingDinoV3
from timm.models.eva import Eva, EvaAttention, EvaBlockPostNorm
from timm.models.vision_transformer import ResPostBlock, VisionTransformer
from torch import Tensor, nn
from torch.distributed.fsdp import FullyShardedDataParallel

from ..layers import class_attention
from .dinov2_positions import resample_positions

# The variants with qkv biases, so that no checkpoint loses any; the 7B model has none by design.
TIMM_NAMES = {
    'dinov3_vits16': 'vit_small_patch16_dinov3_qkvb',
    'dinov3_vits16plus': 'vit_small_plus_patch16_dinov3_qkvb',
    'dinov3_vitb16': 'vit_base_patch16_dinov3_qkvb',
    'dinov3_vitl16': 'vit_large_patch16_dinov3_qkvb',
    'dinov3_vith16plus': 'vit_huge_plus_patch16_dinov3_qkvb',
    'dinov3_vit7b16': 'vit_7b_patch16_dinov3',
}


class Trunk(nn.Module, ABC):
    """What DAGAViT needs of a vision transformer with a class token.

    Shapes: B images, N = P + h·w tokens of D channels, the P prefix tokens first and the class token first of all.

    Attributes:
        model: The transformer.
        arch: Its name, for messages.
        embed_dims: D.
        patch_size: Pixels along one side of a patch.
        depth: Number of blocks.
        num_prefix_tokens: P, the class token and the registers.
        num_heads: Heads of the attention.
    """

    model: Any  # somebody else's: what is used of it is looked at when it is built
    arch: str
    embed_dims: int
    patch_size: int
    depth: int
    num_prefix_tokens: int
    num_heads: int

    @abstractmethod
    def embed(self, images: Tensor) -> tuple[Tensor, Any]:
        """Images (B, 3, H, W), sides multiples of the patch -> tokens (B, N, D), positions for the blocks."""

    @abstractmethod
    def block(self, index: int, tokens: Tensor, positions: Any) -> Tensor:
        """Run one block: tokens (B, N, D) -> (B, N, D)."""

    @abstractmethod
    def class_attention(self, index: int, tokens: Tensor, positions: Any) -> Tensor:
        """The class token's attention in a block that is about to read ``tokens``: (B, heads, N), float32."""

    @abstractmethod
    def norm(self, tokens: Tensor) -> Tensor:
        """The final norm, on all tokens."""

    @abstractmethod
    def unused_prefixes(self) -> tuple[str, ...]:
        """Beginnings of the names of parameters that no output depends on, whatever the blocks."""

    def train(self, mode: bool = True) -> 'Trunk':
        """Positions stay in eval mode: DINOv3 rescales rotary coordinates at random while training."""
        super().train(mode)
        self.positional().eval()
        return self

    @abstractmethod
    def positional(self) -> nn.Module:
        """The module that makes rotary positions; one without any effect where the model has none."""


class TimmTrunk(Trunk):
    """A ViT or EVA model of timm (DINOv3 is an EVA model there).

    Args:
        arch: A DINOv3 name of `TIMM_NAMES` or a timm model name.
        **kwargs: Changes to the architecture, for timm's constructor.

    Raises:
        ValueError: timm has no such model; it has no class token; its attention can't be read row by row.
    """

    def __init__(self, arch: str, **kwargs: Any) -> None:
        super().__init__()
        self.arch = arch
        model: Any = _create_timm_model(arch, kwargs)
        _check_readable(arch, model)
        self.model = model
        self.embed_dims = model.embed_dim
        self.patch_size = model.patch_embed.patch_size[0]
        self.depth = len(model.blocks)
        self.num_prefix_tokens = model.num_prefix_tokens
        self.num_heads = model.blocks[0].attn.num_heads
        if isinstance(getattr(model, 'rope', None), RotaryEmbeddingDinoV3):
            # DINOv3 stores its rotary periods in bfloat16; timm computes them in float32 and keeps none in the
            # state dict. 1e-3 of difference in the features: so they are rounded, saved, and loaded.
            self._set_periods(model.rope.periods.bfloat16().float())

    def _set_periods(self, periods: Tensor) -> None:
        self.model.rope.register_buffer('periods', periods, persistent=True)

    def _apply(self, fn, recurse=True):
        periods: Any = getattr(getattr(self.model, 'rope', None), 'periods', None)
        super()._apply(fn, recurse)
        if isinstance(getattr(self.model, 'rope', None), RotaryEmbeddingDinoV3):
            # timm computes the periods anew after .half() and the like, which would undo the rounding.
            self._set_periods(periods.to(self.model.rope.periods.device))
        return self

    def embed(self, images: Tensor) -> tuple[Tensor, Any]:
        tokens = self.model.patch_embed(images)
        embedded = self.model._pos_embed(tokens)  # EVA models return (tokens, rotary positions)
        tokens, positions = embedded if isinstance(self.model, Eva) else (embedded, None)
        return self.model.norm_pre(tokens), positions

    def _at_block(self, index: int, positions: Any) -> Any:
        return positions[index] if getattr(self.model, 'rope_mixed', False) else positions

    def block(self, index: int, tokens: Tensor, positions: Any) -> Tensor:
        block = self.model.blocks[index]
        if isinstance(self.model, Eva):
            return block(tokens, rope=self._at_block(index, positions))
        return block(tokens)

    def class_attention(self, index: int, tokens: Tensor, positions: Any) -> Tensor:
        with _whole(self.model.blocks[index]) as block:
            attn = block.attn
            if not isinstance(block, EvaBlockPostNorm | ResPostBlock):
                tokens = block.norm1(tokens)
            query = attn.q_norm(_project(attn, 'q', tokens[:, :1]))  # (B, heads, 1, d)
            key = attn.k_norm(_project(attn, 'k', tokens))  # (B, heads, N, d)
        if positions is not None:  # patches only: prefix tokens, the class token's query among them, have none
            p = self.num_prefix_tokens
            rotated = apply_rot_embed_cat(
                key[:, :, p:], self._at_block(index, positions), half=getattr(attn, 'rotate_half', False)
            )
            key = torch.cat([key[:, :, :p], rotated.type_as(key)], dim=2)
        if key.shape[1] < query.shape[1]:  # grouped-query attention: a key serves several heads
            key = key.repeat_interleave(query.shape[1] // key.shape[1], dim=1)
        return class_attention(query, key, attn.scale)

    def norm(self, tokens: Tensor) -> Tensor:
        # Models that average patches have their last norm behind the pooling; here it serves every token.
        norm = self.model.fc_norm if isinstance(self.model.norm, nn.Identity) else self.model.norm
        return norm(tokens)

    def unused_prefixes(self) -> tuple[str, ...]:
        return () if isinstance(self.model.norm, nn.Identity) else ('model.fc_norm.',)

    def positional(self) -> nn.Module:
        return getattr(self.model, 'rope', None) or nn.Identity()


class DINOv2Trunk(TimmTrunk):
    """A DINOv2 model of timm whose positions are resampled as by github.com/facebookresearch/dinov2."""

    def embed(self, images: Tensor) -> tuple[Tensor, Any]:
        model = self.model
        if model.num_reg_tokens:  # timm resamples as the official models with registers do
            return super().embed(images)
        patches = model.patch_embed(images)  # (B, h, w, D)
        positions = resample_positions(model.pos_embed, tuple(patches.shape[1:3]))
        tokens = torch.cat([model.cls_token.expand(len(patches), -1, -1), patches.flatten(1, 2)], dim=1)
        return model.norm_pre(model.pos_drop(tokens + positions)), None


class DINOv3Trunk(Trunk):
    """A trunk built by an installed ``dinov3`` package (github.com/facebookresearch/dinov3).

    Args:
        arch: A function of ``dinov3.hub.backbones``: 'dinov3_vits16' … 'dinov3_vit7b16'.
        **kwargs: Further arguments of that function, such as ``weights='SAT493M'``'s architecture switches.

    Raises:
        ImportError: The package can't be imported.
        ValueError: It has no such backbone.
    """

    def __init__(self, arch: str, **kwargs: Any) -> None:
        super().__init__()
        try:
            backbones = importlib.import_module('dinov3.hub.backbones')
        except ImportError as error:
            raise ImportError(
                f"source='dinov3' needs the official package, which can't be imported ({error}). Clone "
                "github.com/facebookresearch/dinov3 and put it on PYTHONPATH, or use source='timm'."
            ) from error
        if not hasattr(backbones, arch):
            known = [name for name in dir(backbones) if name.startswith('dinov3_vit')]
            raise ValueError(f'the dinov3 package has no backbone {arch!r}; it has {", ".join(known)}')
        self.arch = arch
        self.model = model = getattr(backbones, arch)(pretrained=False, **kwargs)
        self.embed_dims = model.embed_dim
        self.patch_size = model.patch_size
        self.depth = len(model.blocks)
        self.num_prefix_tokens = 1 + model.n_storage_tokens
        self.num_heads = model.blocks[0].attn.num_heads

    def embed(self, images: Tensor) -> tuple[Tensor, Any]:
        tokens, (h, w) = self.model.prepare_tokens_with_masks(images)
        return tokens, self.model.rope_embed(H=h, W=w)

    def block(self, index: int, tokens: Tensor, positions: Any) -> Tensor:
        return self.model.blocks[index](tokens, positions)

    def class_attention(self, index: int, tokens: Tensor, positions: Any) -> Tensor:
        with _whole(self.model.blocks[index]) as block:
            attn = block.attn
            tokens = block.norm1(tokens)
            weight, bias = attn.qkv.weight, attn.qkv.bias
            if hasattr(attn.qkv, 'bias_mask') and bias is not None:
                bias = bias * attn.qkv.bias_mask.to(bias.dtype)
            q_weight, k_weight, _ = weight.chunk(3)
            q_bias, k_bias, _ = bias.chunk(3) if bias is not None else (None, None, None)
            tokens = tokens.to(weight.dtype)
            query = _heads(F.linear(tokens[:, :1], q_weight, q_bias), attn.num_heads)
            key = _heads(F.linear(tokens, k_weight, k_bias), attn.num_heads)
        _, key = attn.apply_rope(key, key, positions)
        return class_attention(query, key, attn.scale)

    def norm(self, tokens: Tensor) -> Tensor:
        if not getattr(self.model, 'untie_cls_and_patch_norms', False):
            return self.model.norm(tokens)
        p = self.num_prefix_tokens
        return torch.cat([self.model.cls_norm(tokens[:, :p]), self.model.norm(tokens[:, p:])], dim=1)

    def unused_prefixes(self) -> tuple[str, ...]:
        return ('model.mask_token', 'model.local_cls_norm.')

    def positional(self) -> nn.Module:
        return self.model.rope_embed


def build_trunk(arch: str | dict, source: str = 'timm') -> Trunk:
    """Build a randomly initialised trunk.

    Args:
        arch: A name, or a dict with the name under ``name`` and changes to the architecture beside it, e.g.
            ``dict(name='dinov3_vits16', embed_dim=96, depth=6, num_heads=3)``.
        source: 'timm' or 'dinov3'.

    Raises:
        ValueError: Unknown source or architecture.
    """
    kwargs = dict(arch) if isinstance(arch, dict) else {'name': arch}
    if 'name' not in kwargs:
        raise ValueError(f"arch as a dict needs the architecture's name under 'name': {kwargs}")
    name = kwargs.pop('name')
    trunks: dict[str, type[TimmTrunk] | type[DINOv3Trunk]] = {
        'timm': DINOv2Trunk if 'dinov2' in name else TimmTrunk,
        'dinov3': DINOv3Trunk,
    }
    if source not in trunks:
        raise ValueError(f"source is 'timm' or 'dinov3', not {source!r}")
    return trunks[source](name, **kwargs)


def _create_timm_model(arch: str, kwargs: dict[str, Any]) -> nn.Module:
    name = TIMM_NAMES.get(arch, arch)
    if not timm.is_model(name):
        known = [*TIMM_NAMES, *timm.list_models(['vit_*', 'eva*', 'deit*'])]
        close = difflib.get_close_matches(arch, known, n=3, cutoff=0.4)
        raise ValueError(
            f'unknown arch {arch!r}: neither one of {", ".join(TIMM_NAMES)} nor a model of timm {timm.__version__}.'
            + (f' Did you mean {" or ".join(close)}?' if close else '')
        )
    try:
        return timm.create_model(name, pretrained=False, num_classes=0, dynamic_img_size=True, **kwargs)
    except TypeError as error:
        raise ValueError(
            f"timm's {arch} is not one of the plain vision transformers that take any image size: {error}"
        ) from error


def _check_readable(arch: str, model: nn.Module) -> None:
    if not isinstance(model, VisionTransformer | Eva):
        raise ValueError(
            f'{arch} is a {type(model).__name__}: DAGA reads the class-to-patch attention of plain vision '
            'transformers, which in timm are its VisionTransformer and Eva models'
        )
    if model.cls_token is None:
        raise ValueError(f'{arch} has no class token, so it has no class-to-patch attention to be guided by')
    readable = (Attention, EvaAttention, AttentionRope)
    if not all(isinstance(getattr(block, 'attn', None), readable) for block in model.blocks):
        raise ValueError(
            f"{arch} has blocks of type {type(model.blocks[0]).__name__}, whose attention can't be read row by row"
        )


@contextmanager
def _whole(block: Any) -> Iterator[Any]:
    """The block with all of its weights: FSDP puts its shards together for the block's own forward pass only."""
    if not isinstance(block, FullyShardedDataParallel):
        yield block
        return
    with FullyShardedDataParallel.summon_full_params(block, recurse=False, writeback=False):
        yield block.module


def _heads(projected: Tensor, heads: int) -> Tensor:
    return projected.unflatten(-1, (heads, -1)).transpose(1, 2)  # (B, heads, N, d)


def _project(attn: Attention | EvaAttention | AttentionRope, part: str, tokens: Tensor) -> Tensor:
    """Queries (``part`` 'q') or keys ('k') of tokens (B, N, D), without computing the other two parts."""
    if attn.qkv is None:
        projection = attn.q_proj if part == 'q' else attn.k_proj
        heads = attn.num_heads if part == 'q' else getattr(attn, 'num_kv_heads', attn.num_heads)
        return _heads(projection(tokens.to(projection.weight.dtype)), heads)
    index = 'qkv'.index(part)
    weight = attn.qkv.weight.chunk(3)[index]
    # EVA keeps the three biases apart.
    bias = getattr(attn, f'{part}_bias', None) if attn.qkv.bias is None else attn.qkv.bias.chunk(3)[index]
    # Whole weights of a sharded trunk are float32, tokens may be of half precision.
    return _heads(F.linear(tokens.to(weight.dtype), weight, bias), attn.num_heads)
