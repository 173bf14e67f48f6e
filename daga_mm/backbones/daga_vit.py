"""DAGAViT: a frozen vision foundation model whose patch tokens are adapted at a few layers."""

import inspect
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from mmengine.logging import print_log
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ..layers import DAGA, AttentionEncoder, HeadsDAGA, HeadsEncoder, normalize_map
from ..registry import MODELS
from .adapter_only import KEY, TrunkId, find_trunk, replace_trunk
from .checkpoints import compare, fingerprint, load_trunk, read_weights, split_own_checkpoint
from .trunk import build_trunk

_RANDOM = 'the trunk is random, since init_cfg=None'


@MODELS.register_module()
class DAGAViT(BaseModule):
    """A vision transformer with a class token, frozen, with DAGA on its patch tokens after some of its blocks.

    Args:
        arch: 'dinov3_vits16', 'dinov3_vits16plus', 'dinov3_vitb16', 'dinov3_vitl16', 'dinov3_vith16plus',
            'dinov3_vit7b16', or any ViT or EVA model of timm by name. A dict has the name under ``name`` and
            changes to the architecture beside it: ``dict(name='dinov3_vits16', embed_dim=96, depth=6)``.
        source: Who builds the trunk: 'timm', or 'dinov3' for the installed official package.
        daga_layers: Blocks after which a DAGA works; negative ones count from the end; 'all'; () is the plain
            frozen model.
        daga_cfg: ``instruction_dim`` (128), ``bottleneck_dim`` (96), ``mixing_init`` (0.1), ``gate``: 'channel',
            one gate per image, 'token', one per patch, or 'heads', one per patch, linear in its attention from each
            head, without an encoder; ``share_encoder`` (False): one attention encoder for all layers.
        guidance: ``dict(source='inline')``, the default: the class-to-patch attention of each DAGA's own block, in
            the adapted stream. ``dict(source='frozen', layer=-1, scale=1.0)``, as the method was published: that of
            block ``layer`` in the untouched trunk, on the image resized by ``scale``; a second stream from the first
            DAGA on. A dict without a source means 'frozen'.
        out_indices: Blocks whose maps come out. None: the quarter ends, 2 5 8 11 of 12.
        out_type: 'featmap' (B, D, h, w); 'cls_token' (B, D); 'cls_avg' (B, 2D), the class token and the mean
            patch.
        with_image: Put the image itself in front of the outputs, for a neck with a spatial prior.
        frozen: False trains the trunk too: the full fine-tuning baseline.
        with_cp: Recompute activations in the backward pass, for memory.
        init_cfg: ``dict(type='Pretrained', checkpoint=PATH)``: official DINOv3, timm, or one of our checkpoints.
            None leaves the trunk random, which is for tests.

    Outputs are taken after the trunk's final norm, one per out_index. h = ceil(H / patch): images are padded
    with zeros (the mean colour, after the usual normalisation) at the right and the bottom. The padding takes
    part in the attention, as in the trunk itself.

    Raises:
        ValueError: Layers out of range, a DAGA layer that can't influence any output, unknown options.
    """

    guided_by_heads = False  # whether encoders get the maps of all heads, in place of their mean

    def __init__(
        self,
        arch: str | dict = 'dinov3_vitb16',
        source: Literal['timm', 'dinov3'] = 'timm',
        daga_layers: Sequence[int] | Literal['all'] = (1, 2, -2, -1),
        daga_cfg: dict | None = None,
        guidance: dict | None = None,
        out_indices: Sequence[int] | None = None,
        out_type: Literal['featmap', 'cls_token', 'cls_avg'] = 'featmap',
        with_image: bool = False,
        frozen: bool = True,
        with_cp: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        if init_cfg is not None and (init_cfg.get('type') != 'Pretrained' or not init_cfg.get('checkpoint')):
            raise ValueError(
                f"init_cfg={init_cfg}: a trunk is loaded, dict(type='Pretrained', checkpoint=PATH), or None"
            )
        super().__init__(init_cfg)
        self.trunk = trunk = build_trunk(arch, source)
        self.arch = trunk.arch
        self.source = source
        self.embed_dims = trunk.embed_dims
        self.patch_size = trunk.patch_size
        self.num_layers = trunk.depth
        self.out_type = _one_of('out_type', out_type, ('featmap', 'cls_token', 'cls_avg'))
        self.with_image = with_image
        self.frozen = frozen
        self.with_cp = with_cp

        if out_indices is None:
            quarter_ends = [trunk.depth * quarter // 4 - 1 for quarter in (1, 2, 3, 4)]
            # Of 24 blocks DINOv3's dense heads read the fourth, not the fifth: so do its published results.
            out_indices = (4, 11, 17, 23) if trunk.depth == 24 else quarter_ends
        self.out_indices = self._layers('out_indices', out_indices)
        self.daga_layers = self._layers('daga_layers', range(trunk.depth) if daga_layers == 'all' else daga_layers)
        self._refuse_idle_layers()
        _known('guidance', guidance, self._set_guidance)
        self._set_guidance(**(guidance or {'source': 'inline'}))  # docs/performance.md has what the two cost
        _known('daga_cfg', daga_cfg, self._build_adapters)
        self.adapters = self._build_adapters(**(daga_cfg or {}))

        self._trunk_origin = _RANDOM if init_cfg is None else None
        self.register_load_state_dict_post_hook(_forgive_absent_trunk)
        self._freeze()

    # -- construction ------------------------------------------------------------------------------------------

    def _layers(self, name: str, indices: Sequence[int]) -> tuple[int, ...]:
        if isinstance(indices, str):
            raise ValueError(f'{name} is a sequence of block indices{" or all" * (name == "daga_layers")}: {indices!r}')
        depth = self.num_layers
        outside = [i for i in indices if not -depth <= i < depth]
        if outside:
            raise ValueError(f'{name}: {outside} out of range, {self.arch} has blocks 0 to {depth - 1}')
        return tuple(sorted({i % depth for i in indices}))

    def _refuse_idle_layers(self) -> None:
        if not self.out_indices:
            raise ValueError('out_indices is empty: nothing would come out')
        last = self.out_indices[-1]
        # Only patches change, so the class token feels a DAGA from the next block on.
        reach = last - 1 if self.out_type == 'cls_token' else last
        idle = [layer for layer in self.daga_layers if layer > reach]
        if idle:
            raise ValueError(
                f'a DAGA at block {idle} of {self.arch} can not influence any output: the last output is '
                f'{self.out_type!r} of block {last}. Leave it out of daga_layers, or '
                + ("use out_type='cls_avg'." if self.out_type == 'cls_token' else 'take a later out_index.')
            )

    def _set_guidance(self, source: str = 'frozen', layer: int | None = None, scale: float | None = None) -> None:
        self.guidance_source = _one_of('guidance source', source, ('frozen', 'inline'))
        if source == 'inline' and not (layer is None and scale is None):
            raise ValueError('inline guidance is read at each DAGA layer itself: it takes no layer and no scale')
        (self.guidance_layer,) = self._layers('guidance layer', [-1 if layer is None else layer])
        self.guidance_scale = 1.0 if scale is None else float(scale)
        if not 0 < self.guidance_scale <= 1:
            raise ValueError(f'guidance scale is in (0, 1], not {scale}')

    def _build_adapters(
        self,
        instruction_dim: int = 128,
        bottleneck_dim: int = 96,
        mixing_init: float = 0.1,
        gate: Literal['channel', 'token', 'heads'] = 'channel',
        share_encoder: bool = False,
    ) -> nn.ModuleDict:
        self.guided_by_heads = _one_of('gate', gate, ('channel', 'token', 'heads')) == 'heads'
        sizes = (bottleneck_dim, mixing_init)

        def encoder() -> nn.Module:
            return HeadsEncoder() if gate == 'heads' else AttentionEncoder(instruction_dim, gate)

        def daga() -> DAGA:
            if gate == 'heads':
                return HeadsDAGA(self.embed_dims, self.trunk.num_heads, *sizes)
            return DAGA(self.embed_dims, instruction_dim, *sizes)

        layers = [str(layer) for layer in self.daga_layers]
        if share_encoder and layers:
            encoders = nn.ModuleDict({'shared': encoder()})
        else:
            encoders = nn.ModuleDict({layer: encoder() for layer in layers})
        return nn.ModuleDict({'encoders': encoders, 'layers': nn.ModuleDict({layer: daga() for layer in layers})})

    def _freeze(self) -> None:
        unused = self.trunk.unused_prefixes()
        beyond = tuple(f'model.blocks.{i}.' for i in range(self.out_indices[-1] + 1, self.num_layers))
        for name, parameter in self.trunk.named_parameters():
            # Parameters that no output depends on never get a gradient, for which DDP would wait.
            parameter.requires_grad_(not self.frozen and not name.startswith(unused + beyond))
        self.train(self.training)

    def train(self, mode: bool = True) -> 'DAGAViT':
        """A frozen trunk stays in eval mode."""
        super().train(mode)
        if self.frozen:
            self.trunk.eval()
        return self

    # -- weights -----------------------------------------------------------------------------------------------

    def init_weights(self) -> None:
        """Load the trunk from init_cfg. DAGA modules start as the identity, or from a checkpoint of ours."""
        if self.init_cfg is None:
            print_log(f'{self.arch}: {_RANDOM}', 'current', logging.WARNING)
        else:
            self._load_pretrained(self.init_cfg['checkpoint'])
        self._is_init = True

    def _load_pretrained(self, path: str) -> None:
        state = read_weights(path)
        if any(key.rpartition('.')[2] == KEY for key in state):
            raise ValueError(
                f'{path} does not hold the trunk, {find_trunk(state)[1]}: name that file in init_cfg, and this one in '
                'load_from'
            )
        own = split_own_checkpoint(state)
        load_trunk(self.trunk, own[0] if own else state, path)
        adapters = own[1] if own else {}
        if adapters and self.daga_layers:
            problems = compare(self.adapters.state_dict(), adapters)
            if problems:
                raise ValueError(f'the DAGA modules in {path} are not those of this config:\n{problems}')
            self.adapters.load_state_dict(adapters)
        self._trunk_origin = str(Path(path).absolute())
        print_log(
            f'{self.arch}: trunk loaded from {path}, fingerprint {self.fingerprints()["trunk"]}'
            + (f', with its {len(adapters)} DAGA tensors' if adapters and self.daga_layers else ''),
            'current',
        )

    def _load_from_state_dict(
        self, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
    ):
        """A state dict brings the whole trunk, or none of it: then the trunk comes from init_cfg, now."""
        loaded = _below(f'{prefix}trunk.', state_dict)
        named = state_dict.pop(f'{prefix}{KEY}', None)
        if loaded:
            problems = compare(self.trunk.state_dict(), loaded)
            if problems:
                raise ValueError(f'the trunk in the checkpoint is not a {self.arch} of {self.source}:\n{problems}')
            self._trunk_origin = 'a checkpoint'
        else:
            self._provide_trunk(None if named is None else TrunkId.from_tensor(named))
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )

    def _provide_trunk(self, wanted: TrunkId | None) -> None:
        """Have the trunk that belongs to a state dict without one, and no other."""
        if self._trunk_origin == _RANDOM:
            # mmseg's init_model drops init_cfg, so the file is looked for.
            file = wanted and wanted.find()
            if file is None:
                # Nobody can want a trained adapter on a random trunk.
                raise ValueError(
                    f'the checkpoint does not hold the trunk, {wanted or "which it does not name"}, and this '
                    f'{self.arch} has no init_cfg to load it from: give model.backbone.init_cfg, or a checkpoint with '
                    'the trunk in it'
                )
            self._load_pretrained(str(file))
        elif self._trunk_origin is None:
            path = self.init_cfg['checkpoint']
            # In training it may have been another file, by an option that nobody has to repeat.
            file = None if wanted is None or Path(path).is_file() else wanted.find()
            self._load_pretrained(str(file or path))
        if wanted is not None:
            found = self._trunk_id(fingerprint(self.trunk.state_dict()))
            if (found.source, found.fingerprint) != (wanted.source, wanted.fingerprint):
                raise ValueError(f'the checkpoint was trained on the trunk {wanted}; this model has {found}')

    def _trunk_id(self, weights: str) -> TrunkId:
        return TrunkId(self.arch, self.source, weights, str(self._trunk_origin))

    def leave_trunk_out(self, state_dict: dict[str, Tensor], prefix: str = '') -> None:
        """Replace the trunk in a state dict by its name, if it is frozen and its weights are in a file.

        What was trained remains. Loading such a state dict loads the trunk from ``init_cfg``, or from where
        it was, and refuses another.

        Args:
            state_dict: Of a model; it is changed.
            prefix: Of this backbone's keys, 'backbone.'.
        """
        trunk = _below(f'{prefix}trunk.', state_dict)
        untouched = self.frozen and not any(p.requires_grad for p in self.trunk.parameters())  # LoRA would be in there
        if trunk and untouched and self._trunk_origin is not None and Path(self._trunk_origin).is_file():
            replace_trunk(state_dict, prefix, self._trunk_id(fingerprint(trunk)))

    def fingerprints(self, state_dict: Mapping[str, Tensor] | None = None, prefix: str = '') -> dict[str, str]:
        """Short hashes of the weights of the trunk and of the DAGA modules ('none' without any).

        Args:
            state_dict: The weights; by default those of this backbone.
            prefix: Of the backbone's keys in ``state_dict``.
        """
        state_dict = self.state_dict() if state_dict is None else state_dict
        return {
            'trunk': fingerprint(_below(f'{prefix}trunk.', state_dict)),
            'adapters': fingerprint(_below(f'{prefix}adapters.', state_dict)) if self.daga_layers else 'none',
        }

    def get_layer_depth(self, param_name: str, prefix: str = '') -> tuple[int, int]:
        """For layer-wise learning rates: (depth of the parameter, number of depths).

        The embedding has depth 0, block i has i + 1; the final norm and the DAGA modules the last, depth + 1.
        """
        name = param_name.removeprefix(prefix)
        num_depths = self.num_layers + 2
        if name.startswith('trunk.model.blocks.'):
            return int(name.split('.')[3]) + 1, num_depths
        if name.startswith(('trunk.model.norm.', 'trunk.model.fc_norm.', 'trunk.model.cls_norm.', 'adapters.')):
            return num_depths - 1, num_depths
        return 0, num_depths

    # -- forward -----------------------------------------------------------------------------------------------

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Images (B, 3, H, W) -> a tuple with one entry per out_index, the images in front if ``with_image``."""
        self._require_trunk()
        padded = self._pad(images)
        grid = self._grid(padded)
        tokens, positions = self.trunk.embed(padded)
        guidance, branch = None, -1
        if self.daga_layers and self.guidance_source == 'frozen':
            if self.guidance_scale == 1:
                # The stream is the untouched trunk's up to the first DAGA: the guidance branches off that late.
                branch = min(self.guidance_layer, self.daga_layers[0] + 1)
            else:
                guidance = normalize_map(self._map_of_smaller_image(padded))
        if branch == 0:
            guidance = normalize_map(self._frozen_map(tokens, positions, 0, grid))
        outputs: list[Tensor] = []
        for index in range(self.out_indices[-1] + 1):
            entering = tokens
            tokens = self._run(self.trunk.block, index, tokens, positions)
            if index + 1 == branch:
                guidance = normalize_map(self._frozen_map(tokens, positions, branch, grid))
            if index in self.daga_layers:
                if self.guidance_source == 'inline':
                    guidance = normalize_map(self._map_at(entering, positions, index, grid))
                tokens = self._run(self._adapt, index, tokens, guidance, grid)
            if index in self.out_indices:
                outputs.append(self._output(self.trunk.norm(tokens), grid))
        return (images, *outputs) if self.with_image else tuple(outputs)

    def guidance_map(self, images: Tensor, normalize: bool = True) -> Tensor:
        """The untouched trunk's attention from the class token to the patches: images -> (B, h, w).

        Always at full resolution and at the guidance layer (the last block if guidance is inline), whatever the
        guidance in use. ``normalize=False`` returns the mean over heads of the softmax over all tokens as it is.
        """
        self._require_trunk()
        padded = self._pad(images)
        with torch.no_grad():
            tokens, positions = self.trunk.embed(padded)
            attention = self._frozen_map(tokens, positions, 0, self._grid(padded))
        if self.guided_by_heads:
            attention = attention.mean(dim=1)
        return normalize_map(attention) if normalize else attention

    def _require_trunk(self) -> None:
        if self._trunk_origin is None:
            raise RuntimeError(
                f'{self.arch} has no weights yet: load a checkpoint or call init_weights() before the first forward '
                f'pass (init_cfg names {self.init_cfg["checkpoint"]}). A random trunk must be asked for with '
                'init_cfg=None.'
            )

    def _pad(self, images: Tensor) -> Tensor:
        if images.ndim != 4 or images.shape[1] != 3 or not images.numel():
            raise ValueError(f'images are (B, 3, H, W), not {tuple(images.shape)}')
        bottom, right = (-side % self.patch_size for side in images.shape[2:])
        return F.pad(images, (0, right, 0, bottom)) if bottom or right else images

    def _grid(self, padded: Tensor) -> tuple[int, int]:
        return padded.shape[2] // self.patch_size, padded.shape[3] // self.patch_size

    def _run(self, function: Any, *args: Any) -> Tensor:
        if self.with_cp and torch.is_grad_enabled():
            # Only a trunk in training mode (drop path) has random numbers to repeat.
            return checkpoint(function, *args, use_reentrant=False, preserve_rng_state=not self.frozen)
        return function(*args)

    def _adapt(self, index: int, tokens: Tensor, guidance: Tensor, grid: tuple[int, int]) -> Tensor:
        encoders: Any = self.adapters['encoders']
        layers: Any = self.adapters['layers']
        instruction = encoders['shared' if 'shared' in encoders else str(index)](guidance)
        prefix = self.trunk.num_prefix_tokens
        patches = layers[str(index)](tokens[:, prefix:], instruction, grid)
        return torch.cat([tokens[:, :prefix], patches.to(tokens.dtype)], dim=1)

    def _map_at(self, tokens: Tensor, positions: Any, index: int, grid: tuple[int, int]) -> Tensor:
        """The map (B, h, w) of the class token's attention in a block that is about to read ``tokens``.

        Those of all heads, (B, heads, h, w), where they guide.
        """
        with torch.no_grad():
            attention = self.trunk.class_attention(index, tokens, positions)  # (B, heads, N)
        if self.guided_by_heads:
            return attention[..., self.trunk.num_prefix_tokens :].unflatten(2, grid)
        return attention.mean(dim=1)[:, self.trunk.num_prefix_tokens :].unflatten(1, grid)

    def _frozen_map(self, tokens: Tensor, positions: Any, start: int, grid: tuple[int, int]) -> Tensor:
        """Go on from untouched ``tokens`` that enter block ``start`` to the guidance layer's map."""
        with torch.no_grad():
            for index in range(start, self.guidance_layer):
                tokens = self.trunk.block(index, tokens, positions)
        return self._map_at(tokens, positions, self.guidance_layer, grid)

    def _map_of_smaller_image(self, padded: Tensor) -> Tensor:
        small = [max(1, round(n * self.guidance_scale)) * self.patch_size for n in self._grid(padded)]
        with torch.no_grad():
            resized = F.interpolate(padded, size=small, mode='bilinear', antialias=True)
            tokens, positions = self.trunk.embed(resized)
            return self._frozen_map(tokens, positions, 0, self._grid(resized))

    def _output(self, tokens: Tensor, grid: tuple[int, int]) -> Tensor:
        prefix = self.trunk.num_prefix_tokens
        if self.out_type == 'cls_token':
            return tokens[:, 0]
        if self.out_type == 'cls_avg':
            return torch.cat([tokens[:, 0], tokens[:, prefix:].mean(dim=1)], dim=1)
        return tokens[:, prefix:].transpose(1, 2).unflatten(2, grid)  # (B, D, h, w)


def _below(prefix: str, state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What a state dict has at a prefix, without it."""
    return {key.removeprefix(prefix): value for key, value in state_dict.items() if key.startswith(prefix)}


def _forgive_absent_trunk(backbone: DAGAViT, incompatible: Any) -> None:
    """A checkpoint without the trunk is whole: the trunk came from init_cfg."""
    incompatible.missing_keys[:] = [key for key in incompatible.missing_keys if 'trunk.model.' not in key]


def _known(name: str, options: dict | None, function: Callable) -> None:
    allowed = list(inspect.signature(function).parameters)
    unknown = [key for key in options or () if key not in allowed]
    if unknown:
        raise ValueError(f'{name} has no {", ".join(unknown)}; it takes {", ".join(allowed)}')


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        raise ValueError(f'{name} is one of {", ".join(map(repr, allowed))}, not {value!r}')
    return value
