"""Trunks of timm: its ViT and EVA families (DINOv3 is an EVA model there), and SAM by a class of its own."""

import difflib
import math
from collections.abc import Mapping, Sequence
from typing import Any

import timm
import torch
import torch.nn.functional as F
from timm.layers.pos_embed_sincos import RotaryEmbeddingDinoV3, rope_rotate_half, rot
from timm.models import eva, vision_transformer
from timm.models.eva import Eva, EvaAttention
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from ..registry import TRUNKS
from .dinov2_positions import resample_positions
from .dinov3_formats import to_official
from .sam_trunk import SAMTrunk
from .trunk import Trunk

# The variants with qkv biases, so that no checkpoint loses any; the 7B model has none by design.
TIMM_NAMES = {
    'dinov3_vits16': 'vit_small_patch16_dinov3_qkvb',
    'dinov3_vits16plus': 'vit_small_plus_patch16_dinov3_qkvb',
    'dinov3_vitb16': 'vit_base_patch16_dinov3_qkvb',
    'dinov3_vitl16': 'vit_large_patch16_dinov3_qkvb',
    'dinov3_vith16plus': 'vit_huge_plus_patch16_dinov3_qkvb',
    'dinov3_vit7b16': 'vit_7b_patch16_dinov3',
}


@TRUNKS.register_module(name='timm')
def timm_trunk(arch: str, **kwargs: Any) -> Trunk:
    """A trunk of timm, of the class that fits the name."""
    return (SAMTrunk if arch.startswith('samvit_') else TimmTrunk)(arch, **kwargs)


class TimmTrunk(Trunk):
    """A ViT or EVA model of timm.

    Args:
        arch: A DINOv3 name of `TIMM_NAMES` or a timm model name.
        **kwargs: Changes to the architecture, for timm's constructor.

    Raises:
        ValueError: timm has no such model, or it is not a plain vision transformer.
    """

    def __init__(self, arch: str, **kwargs: Any) -> None:
        super().__init__()
        if kwargs.get('patch_drop_rate'):
            raise ValueError('arch.patch_drop_rate drops patches at random, but a feature map needs all: remove it')
        self.arch = arch
        self.model = model = _create_model(arch, kwargs)
        self.embed_dims = model.embed_dim
        self.patch_size = model.patch_embed.patch_size[0]
        self.depth = len(model.blocks)
        self.num_prefix_tokens = model.num_prefix_tokens
        self.num_heads = getattr(getattr(model.blocks[0], 'attn', None), 'num_heads', 0)
        self.has_class_token = model.cls_token is not None
        self.is_dinov2 = 'dinov2' in arch
        for block in model.blocks:
            if isinstance(getattr(block, 'attn', None), EvaAttention):
                _call_projection(block.attn)
        if isinstance(getattr(model, 'rope', None), RotaryEmbeddingDinoV3):
            # DINOv3 stores its rotary periods in bfloat16; timm computes them in float32 and keeps none in the state
            # dict, which costs 1e-3 in the features. Round them, and keep them in the state dict.
            self._set_periods(model.rope.periods.bfloat16().float())
            model.rope.__class__ = _TraceablePositions

    def _set_periods(self, periods: Tensor) -> None:
        self.model.rope.register_buffer('periods', periods, persistent=True)

    def _apply(self, fn, recurse=True):
        periods: Any = getattr(getattr(self.model, 'rope', None), 'periods', None)
        super()._apply(fn, recurse)
        if isinstance(getattr(self.model, 'rope', None), RotaryEmbeddingDinoV3):
            # timm recomputes the periods after .half() and the like, which would undo the rounding.
            self._set_periods(periods.to(self.model.rope.periods.device))
        return self

    def embed(self, images: Tensor) -> tuple[Tensor, Any]:
        tokens = self.model.patch_embed(images)
        if self.is_dinov2 and not self.model.num_reg_tokens:  # with registers timm resamples as the official code does
            return self._add_dinov2_positions(tokens), None
        embedded = self.model._pos_embed(tokens)  # EVA models return (tokens, rotary positions)
        tokens, positions = embedded if isinstance(self.model, Eva) else (embedded, None)
        return self.model.norm_pre(tokens), positions

    def _add_dinov2_positions(self, patches: Tensor) -> Tensor:
        model = self.model
        positions = resample_positions(model.pos_embed, (patches.shape[1], patches.shape[2]))
        tokens = torch.cat([model.cls_token.expand(len(patches), -1, -1), patches.flatten(1, 2)], dim=1)
        return model.norm_pre(model.pos_drop(tokens + positions))

    def block(self, index: int, tokens: Tensor, positions: Any) -> Tensor:
        return self.model.blocks[index](tokens, **self._rope(index, positions))

    def _rope(self, index: int, positions: Any) -> dict[str, Any]:
        if not isinstance(self.model, Eva):
            return {}
        return {'rope': positions[index] if getattr(self.model, 'rope_mixed', False) else positions}

    def norm(self, tokens: Tensor) -> Tensor:
        # Models that average patches have their last norm after the pooling; here it is applied to every token.
        norm = self.model.fc_norm if isinstance(self.model.norm, nn.Identity) else self.model.norm
        return norm(tokens)

    def _query_key_modules(self, index: int) -> Sequence[nn.Module]:
        attn = getattr(self.model.blocks[index], 'attn', None)
        modules = [getattr(attn, name, None) for name in ('q_norm', 'k_norm')]  # all attentions of timm call both
        if not all(isinstance(module, nn.Module) for module in modules):
            kind = type(self.model.blocks[index]).__name__
            raise ValueError(f'{self.arch}: the attention of its blocks ({kind}) has no q_norm and k_norm to read')
        return modules  # type: ignore[return-value]

    def _query_and_keys(self, index: int, taken: list[Tensor], positions: Any) -> tuple[Tensor, Tensor, float]:
        query, key = taken[0][:, :, :1], taken[1]  # (B, heads, 1, d), (B, heads, N, d)
        attn, rope = self.model.blocks[index].attn, self._rope(index, positions).get('rope')
        if rope is not None:  # of patches: prefix tokens, the class token's query among them, are not rotated
            # q · (R k) = (Rᵀ q) · k: turning the one query back, for each position, costs less than turning all keys.
            sin, cos = rope.chunk(2, dim=-1)
            rows = (0, 0, self.num_prefix_tokens, 0)
            sin, cos = F.pad(sin, rows), F.pad(cos, rows, value=1)  # an angle of 0
            turned = rope_rotate_half(query) if getattr(attn, 'rotate_half', False) else rot(query)
            query = torch.addcmul(query * cos, turned, sin, value=-1)  # (B, heads, N, d)
        return query, key, attn.scale

    def _roles(self, block: Any) -> dict[str, nn.Module]:
        # Both stand last in their branches, as identities where nothing is dropped.
        places = {'attn_branch': 'drop_path1', 'mlp_branch': 'drop_path2'}
        return {role: getattr(block, name) for role, name in places.items() if hasattr(block, name)}

    def unused_parameters(self) -> tuple[str, ...]:
        # A pooling head, such as SigLIP's, comes after the tokens.
        return ('model.attn_pool.', *(() if isinstance(self.model.norm, nn.Identity) else ('model.fc_norm.',)))

    def positional(self) -> nn.Module | None:
        return getattr(self.model, 'rope', None)

    def convert(self, state: Mapping[str, Tensor], origin: str) -> dict[str, Tensor]:
        """DINOv3 (official, Hugging Face), official DINOv2, timm's own files, and what timm's filter converts."""
        state = to_official(state)
        model = self.model
        official = 'storage_tokens' in state
        patch_embed = state.get('patch_embed.proj.weight')
        if patch_embed is not None and patch_embed.ndim == 4 and patch_embed.shape[-1] != self.patch_size:
            # timm would resample the kernel silently.
            raise ValueError(
                f'{origin} has patches of {patch_embed.shape[-1]} pixels, the trunk {self.arch} of {self.patch_size}'
            )
        if self.is_dinov2 and 'pos_embed' in state:
            self._refuse_other_grid(state['pos_embed'], origin)
        if official:
            self._refuse_lost_biases(state, origin)
        family = eva if isinstance(model, Eva) else vision_transformer
        converted = family.checkpoint_filter_fn(dict(state), model)
        for key, value in model.state_dict().items():
            if key in converted:
                continue
            if key == 'rope.periods':
                # timm's filter drops them, and a timm file has none: then those of the model are right.
                converted[key] = state.get('rope_embed.periods', state.get(key, value)).float()
            elif not official and key.endswith(('.q_bias', '.v_bias')):
                # timm publishes DINOv3 without qkv biases where they are all zero.
                converted[key] = torch.zeros_like(value)
        return converted

    def _refuse_other_grid(self, positions: Tensor, origin: str) -> None:
        """timm would resample DINOv2's positions while loading, with antialiasing; the official code refuses them."""
        side = math.isqrt(positions.shape[1])  # with or without the class token
        rows, columns = self.model.patch_embed.grid_size
        if (side, side) != (rows, columns):
            raise ValueError(
                f'{origin} has positions for {side}×{side} patches, the trunk {self.arch} for {rows}×{columns}: give '
                f'arch img_size={side * self.patch_size}; images of any size are taken, positions are resampled to each'
            )

    def _refuse_lost_biases(self, state: Mapping[str, Tensor], origin: str) -> None:
        """timm keeps no key biases, and some of its variants no qkv biases: only zeros may be dropped."""
        kept = any(key.endswith('.q_bias') for key in self.model.state_dict())
        for key, bias in state.items():
            if not key.endswith('attn.qkv.bias'):
                continue
            query, keys, value = (bias * state.get(f'{key}_mask', torch.ones_like(bias))).chunk(3)
            if keys.count_nonzero():
                raise ValueError(
                    f"{origin} has key biases that are not zero ({key}), which timm's DINOv3 does not have: "
                    "load it with source='dinov3'"
                )
            if not kept and (query.count_nonzero() or value.count_nonzero()):
                raise ValueError(
                    f'{origin} has qkv biases that are not zero ({key}), and {self.arch} has no such parameters: use '
                    "timm's variant whose name ends in _qkvb, or one of daga_mm's names (dinov3_vitb16, …)"
                )


def _create_model(arch: str, kwargs: dict[str, Any]) -> Any:
    name = TIMM_NAMES.get(arch, arch)
    if not timm.is_model(name):
        known = [*TIMM_NAMES, *timm.list_models(['vit_*', 'eva*', 'deit*'])]
        close = difflib.get_close_matches(arch, known, n=3, cutoff=0.4)
        raise ValueError(
            f'unknown arch {arch!r}: neither one of {", ".join(TIMM_NAMES)} nor a model of timm {timm.__version__}.'
            + (f' Did you mean {" or ".join(close)}?' if close else '')
        )
    try:
        model = timm.create_model(name, pretrained=False, num_classes=0, dynamic_img_size=True, **kwargs)
    except TypeError as error:
        raise ValueError(
            f'{arch} is not a plain vision transformer of timm that takes any image size: {error}'
        ) from error
    if not isinstance(model, VisionTransformer | Eva):
        raise ValueError(
            f"{arch} is a {type(model).__name__}, expected a plain vision transformer, one of timm's VisionTransformer "
            'and Eva models: adapters work between and inside its blocks'
        )
    return model


def _call_projection(attn: Any) -> None:
    """Let an EvaAttention call its ``qkv``, so that hooks on it work, with the same result bit for bit.

    timm multiplies by ``qkv.weight`` where the biases are kept apart, and a hook on ``qkv`` is bypassed.
    """
    if attn.qkv is not None and attn._parameters.get('q_bias') is not None and not attn.qkv_bias_separate:
        attn.__class__, attn.qkv.__class__ = _CallingAttention, _BiasedLinear


class _CallingAttention(EvaAttention):
    in_forward = False

    @property
    def q_bias(self) -> Any:  # type: ignore[override]  # a parameter upstream
        """None in the forward pass: timm calls the projection of an attention without biases."""
        return None if self.in_forward else self._parameters['q_bias']

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        qkv: Any = self.qkv
        qkv.all_biases = torch.cat((self.q_bias, self.k_bias, self.v_bias))  # type: ignore[arg-type]
        self.in_forward = True
        try:
            return super().forward(x, *args, **kwargs)
        finally:
            qkv.all_biases = None
            self.in_forward = False


class _TraceablePositions(RotaryEmbeddingDinoV3):
    def _create_embed(self, feat_shape: Any, no_aug: bool = False) -> Tensor:
        if not torch.compiler.is_exporting():
            return super()._create_embed(feat_shape, no_aug)
        # timm divides by float(h), which would fix the grid of an exported graph. The numbers are the same.
        axes = [(torch.arange(n, dtype=torch.float32) + 0.5) / n for n in feat_shape]
        grid = 2 * torch.stack(torch.meshgrid(axes, indexing='ij'), dim=-1) - 1  # (h, w, 2)
        return torch.cat(self._get_pos_embed_from_coords(grid.flatten(0, 1)), dim=-1)


class _BiasedLinear(nn.Linear):
    all_biases: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.all_biases)
