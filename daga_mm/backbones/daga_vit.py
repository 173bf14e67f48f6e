"""DAGAViT: a frozen vision foundation model that adapters adapt."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from mmengine.logging import print_log
from mmengine.model import BaseModule
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from ..adapters import Context, Guidance, block_indices, build_adapters
from ..layers import normalize_map
from ..registry import MODELS
from .checkpoints import KEY, TrunkId, backbone_prefix, below, compare, fingerprint, load_trunk, read_weights
from .token_cache import TokenCache
from .trunk import build_trunk

OUT_TYPES = ('featmap', 'cls_token', 'cls_avg')


@dataclass
class Prefix:
    """What does not depend on the adapters: the forward pass up to the first block that sees a change.

    Attributes:
        tokens: (B, N, D), entering that block, or leaving the block before it, which adapters may still change.
        positions: For the blocks, as the trunk made them.
        grid: Patch grid (h, w).
        attention: The class token's attention in the block before, (B, heads, N), where an adapter reads it there.
        guidance: By adapter, the attention that it reads in the untouched trunk: (B, h, w) or (B, heads, h, w).
        outputs: Outputs of earlier blocks, by block.
    """

    tokens: Tensor
    positions: Any
    grid: tuple[int, int]
    attention: Tensor | None = None
    guidance: dict[str, Tensor] = field(default_factory=dict)
    outputs: dict[int, Tensor] = field(default_factory=dict)


@dataclass
class Record:
    """What forward passes went through, by block; of several passes, the last.

    Attributes:
        attention: The class token's attention, (B, heads, N), a softmax over all tokens; empty without a class token.
        before: Tokens (B, N, D) that leave the block.
        after: The same after what adapters do between blocks.
    """

    attention: dict[int, Tensor] = field(default_factory=dict)
    before: dict[int, Tensor] = field(default_factory=dict)
    after: dict[int, Tensor] = field(default_factory=dict)


@MODELS.register_module()
class DAGAViT(BaseModule):
    """A frozen vision transformer, adapted by DAGA or by other adapters.

    Args:
        arch: 'dinov3_vits16', 'dinov3_vits16plus', 'dinov3_vitb16', 'dinov3_vitl16', 'dinov3_vith16plus',
            'dinov3_vit7b16', or any ViT or EVA model of timm by name. A dict has the name under ``name`` and
            changes to the architecture beside it: ``dict(name='dinov3_vits16', embed_dim=96, depth=6)``.
        source: Who builds the trunk: 'timm', or 'dinov3' for the installed official package.
        adapter: A name ('daga', 'lora', 'adaptformer', 'mona', 'bitfit', 'last_blocks'), ``dict(type='DAGA', …)``
            with the options of its class in `daga_mm.adapters`, a list of these, or None, the plain frozen trunk.
        out_indices: Blocks whose maps come out. None: the quarter ends, 2 5 8 11 of 12.
        out_type: 'featmap' (B, D, h, w); 'cls_token' (B, D); 'cls_avg' (B, 2D), the class token and the mean
            patch.
        with_image: Put the image itself in front of the outputs, for a neck with a spatial prior.
        frozen: False trains the trunk too, the full fine-tuning baseline; ``adapter`` must be None.
        trunk_dtype: 'bfloat16' stores the weights of a frozen trunk's linear and convolution layers in bfloat16, half
            the memory. Equal to float32 weights under bfloat16 autocast bit for bit; where no autocast is on, the
            backbone runs under one of its own.
        with_cp: Recompute activations in the backward pass, to save memory.
        init_cfg: ``dict(type='Pretrained', checkpoint=PATH)``: official DINOv3, timm, or one of our checkpoints.
            None leaves the trunk random, which is for tests.

    Outputs are taken after the trunk's final norm, one per out_index. h = ceil(H / patch): images are padded
    with zeros (the mean colour, after the usual normalisation) at the right and the bottom. The padding takes
    part in the attention, as in the trunk itself.

    Raises:
        ValueError: Layers out of range or without influence on any output, unknown options, an adapter that the
            trunk cannot have.
    """

    def __init__(
        self,
        arch: str | dict = 'dinov3_vitb16',
        source: str = 'timm',
        adapter: str | dict | Sequence[str | dict] | None = 'daga',
        out_indices: Sequence[int] | None = None,
        out_type: Literal['featmap', 'cls_token', 'cls_avg'] = 'featmap',
        with_image: bool = False,
        frozen: bool = True,
        trunk_dtype: Literal['bfloat16'] | None = None,
        with_cp: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        if init_cfg is not None and (init_cfg.get('type') != 'Pretrained' or not init_cfg.get('checkpoint')):
            raise ValueError(f"init_cfg is {init_cfg}, expected dict(type='Pretrained', checkpoint=PATH) or None")
        if out_type not in OUT_TYPES:
            raise ValueError(f'out_type is {out_type!r}, expected one of {", ".join(map(repr, OUT_TYPES))}')
        if trunk_dtype not in (None, 'bfloat16') or (trunk_dtype and not frozen):
            raise ValueError(f"trunk_dtype is {trunk_dtype!r}, expected None, or 'bfloat16' for a frozen trunk")
        if adapter and not frozen:
            raise ValueError(
                f'frozen=False trains the whole trunk, without an adapter: set adapter=None, not {adapter}'
            )
        super().__init__(init_cfg)
        self.trunk = trunk = build_trunk(arch, source, trunk_dtype and torch.bfloat16)
        self.arch = trunk.arch
        self.source = source
        self.embed_dims = trunk.embed_dims
        self.patch_size = trunk.patch_size
        self.num_layers = trunk.depth
        self.out_type = out_type
        self.with_image = with_image
        self.frozen = frozen
        self.trunk_dtype = trunk_dtype
        self.with_cp = with_cp
        if out_type != 'featmap' and not trunk.has_class_token:
            raise ValueError(f"{trunk.arch} has no class token for out_type={out_type!r}: use out_type='featmap'")
        self.out_indices = _out_indices(out_indices, trunk)
        last = self.out_indices[-1]
        with torch.random.fork_rng(devices=()):  # with the same seed, heads start alike whatever the adapter
            # Where only patches change, the class token feels it from the next block on.
            self.adapters: Any = build_adapters(adapter, trunk, last, last - 1 if out_type == 'cls_token' else last)
        self._with_adapters = True
        self._record: Record | None = None
        self.token_cache: TokenCache | None = None  # see TokenCacheHook
        self.trunk_id: TrunkId | None = None  # of the pretrained weights, once they are loaded
        for one in self._all_adapters():
            one.attach(trunk)
            if one.reads != 'nothing':
                for layer in [one.guidance.layer] if one.guidance else one.layers:
                    trunk.tap(layer)
        self.register_load_state_dict_post_hook(_forgive_absent_trunk)
        self._freeze()

    def _all_adapters(self) -> list[Any]:
        return list(self.adapters.values()) if self._with_adapters else []

    def _freeze(self) -> None:
        # Parameters that no output depends on never get a gradient, for which DDP would wait.
        unused = self.trunk.unused_parameters()
        unused += tuple(f'model.blocks.{i}.' for i in range(self.out_indices[-1] + 1, self.num_layers))
        for name, parameter in self.trunk.named_parameters():
            trained = not self.frozen or any(adapter.trains(name) for adapter in self._all_adapters())
            parameter.requires_grad_(trained and not name.startswith(unused))
            if parameter.requires_grad and self.trunk_dtype and parameter.dtype == torch.bfloat16:
                raise ValueError(
                    f'{self._adapter_names()} trains {name}, which trunk_dtype stores in bfloat16: remove it'
                )
        for name, adapter in self.adapters.items():
            own = any(True for _ in adapter.parameters())
            if not own and not any(adapter.trains(key) for key, p in self.trunk.named_parameters() if p.requires_grad):
                raise ValueError(f'{name} trains nothing: {self.arch} has no such parameters')
        self.train(self.training)

    def train(self, mode: bool = True) -> 'DAGAViT':
        """A frozen trunk stays in eval mode."""
        super().train(mode)
        if self.frozen:
            self.trunk.eval()
        return self

    # -- weights -----------------------------------------------------------------------------------------------

    def init_weights(self) -> None:
        """Load the trunk from init_cfg. Adapters keep their initialisation, or come from a checkpoint of ours."""
        if self.init_cfg is None:
            print_log(f'{self.arch}: the trunk is random, since init_cfg=None', 'current', logging.WARNING)
        else:
            self._load_pretrained(self.init_cfg['checkpoint'])
        self._is_init = True

    def _load_pretrained(self, path: str | Path) -> None:
        state = read_weights(path)
        prefix = backbone_prefix(state)
        if prefix is None:
            weights = load_trunk(self.trunk, state, str(path))
            self.trunk_id = TrunkId(self.arch, self.source, weights, str(Path(path).absolute()))
        else:
            self._load_own(below(state, prefix), path)
        print_log(f'{self.arch}: loaded {path}, trunk fingerprint {self.fingerprints()["trunk"]}', 'current')

    def _load_own(self, state: dict[str, Tensor], path: str | Path) -> None:
        """A checkpoint of ours as init_cfg: its trunk, found by its name if need be, and its adapters."""
        whole = below(state, 'trunk.').keys() >= self.trunk.state_dict().keys()
        if not whole:
            wanted = TrunkId.from_tensor(state[KEY]) if KEY in state else None
            file = None if wanted is None else wanted.find()
            if file is None:
                raise ValueError(
                    f'{path} does not hold its trunk, {wanted or "which it does not name"}: put that file in its place '
                    'or into $DINOV3_CHECKPOINTS'
                )
            self._load_pretrained(file)
        elif not self.adapters:  # the trunk alone is asked for
            state = {key: value for key, value in state.items() if not key.startswith('adapters.')}
        problems = compare(below(self.state_dict(), 'adapters.'), below(state, 'adapters.'))
        if problems:
            raise ValueError(
                f'the adapters in {path} are not those of this config, {self._adapter_names()}:\n{problems}'
            )
        self.load_state_dict(state)
        if whole and self.trunk_id is not None and not Path(self.trunk_id.file).is_file():
            self.trunk_id = TrunkId(**{**vars(self.trunk_id), 'file': str(Path(path).absolute())})

    def _adapter_names(self) -> str:
        return ', '.join(self.adapters) or 'none'

    def _load_from_state_dict(
        self, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
    ):
        """A state dict brings the whole trunk, exactly what was trained in it, or nothing; then its file is loaded."""
        given, expected = below(state_dict, f'{prefix}trunk.'), self.trunk.state_dict()
        named = state_dict.pop(f'{prefix}{KEY}', None)
        wanted = None if named is None else TrunkId.from_tensor(named)
        if given.keys() == self.trained_in_trunk():
            self._provide_trunk(wanted)
            expected = {key: expected[key] for key in given}
        else:
            untouched = self.frozen and not self.trained_in_trunk()
            weights = fingerprint(below(given, 'model.')) if untouched and wanted is None else 'unknown'
            self.trunk_id = wanted or TrunkId(self.arch, self.source, weights, 'a checkpoint')
        if self.trunk_dtype is None and any(value.dtype == torch.bfloat16 for value in given.values()):
            raise ValueError("the checkpoint holds its trunk rounded to bfloat16: set backbone.trunk_dtype='bfloat16'")
        problems = compare(expected, given)
        if problems:
            raise ValueError(f'the trunk in the checkpoint is not a {self.arch} of {self.source}:\n{problems}')
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )

    def _provide_trunk(self, wanted: TrunkId | None) -> None:
        """Load the pretrained trunk that a state dict without one belongs to; refuse another."""
        if self.trunk_id is None:
            path = None if self.init_cfg is None else self.init_cfg['checkpoint']
            # In training it may have been another file, by an option that nobody has to repeat.
            file = None if wanted is None or (path and Path(path).is_file()) else wanted.find()
            if path is None and file is None:
                raise ValueError(
                    f'the checkpoint does not hold the trunk, {wanted or "which it does not name"}, and this model has '
                    'no init_cfg to load it from (inference in mmdet and mmseg removes it): set DINOV3_CHECKPOINTS to '
                    'the folder of that file, or put the trunk into the checkpoint, tools/publish_model.py --trunk'
                )
            self._load_pretrained(file or str(path))
        found = self.trunk_id
        if wanted and found and (found.source, found.fingerprint) != (wanted.source, wanted.fingerprint):
            raise ValueError(f'the checkpoint was trained on the trunk {wanted}; this model has {found}')

    def trained_in_trunk(self) -> set[str]:
        """Keys of the trunk's state dict that adapters train; of a trunk that is trained as a whole, none."""
        if not self.frozen:
            return set()
        return {key for key, value in self.trunk.state_dict(keep_vars=True).items() if value.requires_grad}

    def finish_state_dict(self, state_dict: dict[str, Tensor], prefix: str = '', trained_only: bool = True) -> None:
        """Name the trunk in a state dict, and remove of it what was not trained and is in a file.

        Loading such a state dict loads the trunk from ``init_cfg``, or from where it was, and refuses another.

        Args:
            state_dict: Of a model; it is changed.
            prefix: Of this backbone's keys, 'backbone.'.
            trained_only: False keeps all of the trunk.
        """
        if self.trunk_id is None:
            return
        if trained_only and self.frozen and Path(self.trunk_id.file).is_file():
            trained = {f'{prefix}trunk.{key}' for key in self.trained_in_trunk()}
            for key in [key for key in state_dict if key.startswith(f'{prefix}trunk.') and key not in trained]:
                del state_dict[key]
        state_dict[f'{prefix}{KEY}'] = self.trunk_id.as_tensor()

    def fingerprints(self, state_dict: Mapping[str, Tensor] | None = None, prefix: str = '') -> dict[str, str]:
        """Short hashes: 'trunk', of the pretrained file that was loaded; 'adapters', of all that is trained here.

        A trunk without a file is 'random'; a backbone without anything trained has 'none' for adapters.

        Args:
            state_dict: The weights; by default those of this backbone.
            prefix: Of the backbone's keys in ``state_dict``.
        """
        state = below(self.state_dict() if state_dict is None else state_dict, prefix)
        trained = {f'trunk.{key}' for key in (self.trained_in_trunk() if self.frozen else self.trunk.state_dict())}
        state = {key: value for key, value in state.items() if key.startswith('adapters.') or key in trained}
        return {
            'trunk': 'random' if self.trunk_id is None else self.trunk_id.fingerprint,
            'adapters': fingerprint(state) if state else 'none',
        }

    def get_layer_depth(self, param_name: str, prefix: str = '') -> tuple[int, int]:
        """For layer-wise learning rates: (depth of the parameter, number of depths).

        The embedding has depth 0, block i has i + 1; the final norm and the adapters the last, depth + 1.
        """
        name, num_depths = param_name.removeprefix(prefix), self.num_layers + 2
        if name.startswith('trunk.'):
            return self.trunk.layer_depth(name.removeprefix('trunk.')), num_depths
        return num_depths - 1, num_depths

    # -- forward -----------------------------------------------------------------------------------------------

    @property
    def first_block(self) -> int:
        """The first block that sees changed tokens or weights; before it all is the same for every frozen model."""
        last = self.out_indices[-1]
        if not self.frozen:
            return 0
        return min([adapter.first_block for adapter in self._all_adapters()], default=last + 1)

    @contextmanager
    def without_adapters(self) -> Iterator[None]:
        """Switch adapters off: inside, the forward pass is the trunk's.

        Where an adapter trains the trunk's own parameters (`BitFit`, `LastBlocks`), the trunk is as trained.

        Raises:
            RuntimeError: An adapter is merged into the trunk's weights.
        """
        merged = [name for name, adapter in self.adapters.items() if getattr(adapter, 'merged', False)]
        if merged:
            raise RuntimeError(f'{", ".join(merged)} is merged into the trunk: unmerge it before switching it off')
        self._with_adapters = False
        try:
            yield
        finally:
            self._with_adapters = True

    @contextmanager
    def recorded(self) -> Iterator[Record]:
        """Record what forward passes inside go through: attention of every block, tokens before and after adapters."""
        self._record = record = Record()
        if self.trunk.has_class_token:
            for index in range(self.out_indices[-1] + 1):
                self.trunk.tap(index)
        try:
            yield record
        finally:
            self._record = None

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Images (B, 3, H, W) -> a tuple with one entry per out_index, the images in front if ``with_image``."""
        with self._precision(images.device.type):
            outputs = self.run_rest(self.run_prefix(images))
        return (images, *outputs) if self.with_image else outputs

    def _precision(self, device: str) -> AbstractContextManager:
        if self.trunk_dtype is None:
            return nullcontext()
        if not torch.is_autocast_enabled(device):
            return torch.autocast(device, torch.bfloat16)
        if torch.get_autocast_dtype(device) != torch.bfloat16:
            found = torch.get_autocast_dtype(device)
            raise ValueError(f"trunk_dtype='bfloat16' under {found} autocast, expected bfloat16: optim_wrapper.dtype")
        return nullcontext()

    def run_prefix(self, images: Tensor) -> Prefix:
        """Run everything that is the same for every frozen model on this trunk: images (B, 3, H, W) -> `Prefix`."""
        self._require_trunk()
        padded = self._pad(images)
        if self.token_cache is None or not self.frozen or not self._with_adapters or self._record is not None:
            return self._run_prefix(padded)
        return self._cached_prefix(padded, self.token_cache)

    def _run_prefix(self, padded: Tensor) -> Prefix:
        first, last = self.first_block, self.out_indices[-1]
        tokens, positions = self.trunk.embed(padded)
        done = Prefix(tokens, positions, self._grid(padded))
        if tokens.shape[1] != self.trunk.num_prefix_tokens + done.grid[0] * done.grid[1]:
            raise ValueError(f'{self.arch} does not make one token of each patch: it is no plain vision transformer')
        asked = {name: one.guidance for name, one in self.adapters.items() if one.guidance and self._with_adapters}
        layers = {guidance.layer for guidance in asked.values() if guidance.scale == 1}
        rows: dict[int, Tensor] = {}
        for index in range(min(first, last + 1)):
            if index in layers or ((index == first - 1 or self._record) and self._reads(index)):
                tokens, rows[index] = self.trunk.block_with_attention(index, tokens, positions)
            else:
                tokens = self.trunk.block(index, tokens, positions)
            if not self._adapts_after(index):
                self._note(index, tokens, tokens, rows.get(index))
                if index in self.out_indices:
                    done.outputs[index] = self._output(self.trunk.norm(tokens), done.grid)
        done.tokens, done.attention = tokens, rows.get(first - 1)
        for name, guidance in asked.items():
            row, grid = rows.get(guidance.layer), done.grid
            if guidance.scale != 1:
                row, grid = self._attention_of_smaller_image(padded, guidance)
            elif row is None:
                row = self._untouched_attention(tokens, positions, first, guidance.layer)
            done.guidance[name] = self._map(row, grid, self.adapters[name].reads)
        return done

    def _cached_prefix(self, padded: Tensor, cache: TokenCache) -> Prefix:
        """The same, where images that were seen before are read from disk."""
        keys = [cache.key(image, self._prefix_identity(padded.device.type)) for image in padded]
        entries: Any = [cache.load(key) for key in keys]
        missing = [number for number, entry in enumerate(entries) if entry is None]
        if missing:
            with torch.no_grad():
                found = self._run_prefix(padded[missing])
            tensors: dict[str, Any] = {f'outputs.{index}': output for index, output in found.outputs.items()}
            tensors |= {f'guidance.{name}': map_ for name, map_ in found.guidance.items()}
            if len(found.outputs) < len(self.out_indices):  # else nothing is left to run
                tensors |= {'tokens': found.tokens, 'attention': found.attention}
            for row, number in enumerate(missing):
                entries[number] = {name: t[row].cpu() for name, t in tensors.items() if t is not None}
                cache.save(keys[number], entries[number])
        whole = {name: torch.stack([entry[name] for entry in entries]).to(padded.device) for name in entries[0]}
        tokens, positions = padded, None
        if 'tokens' in whole:
            tokens, positions = whole['tokens'], self.trunk.embed(padded)[1]
        return Prefix(
            tokens,
            positions,
            self._grid(padded),
            whole.get('attention'),
            below(whole, 'guidance.'),
            {int(index): output for index, output in below(whole, 'outputs.').items()},
        )

    def _prefix_identity(self, device: str) -> str:
        """All that an image's prefix depends on beside the image."""
        precision = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else torch.float32
        read = {name: (one.reads, one.guidance) for name, one in self.adapters.items() if one.reads != 'nothing'}
        parts = (self.trunk_id, self.out_indices, self.out_type, self.first_block, read, self.trunk_dtype, precision)
        return repr(parts)

    def run_rest(self, done: Prefix) -> tuple[Tensor, ...]:
        """Run the adapted blocks: `Prefix` -> outputs, one per out_index."""
        first, outputs, tokens = self.first_block, dict(done.outputs), done.tokens
        for index in range(max(first - 1, 0), self.out_indices[-1] + 1):
            if index >= first:
                tokens = self._run(self._adapted_block, index, tokens, done)
            elif self._adapts_after(index):
                tokens = self._run(self._after_block, index, tokens, done.attention, done)
            if index in self.out_indices and index not in outputs:
                outputs[index] = self._output(self.trunk.norm(tokens), done.grid)
        return tuple(outputs[index] for index in self.out_indices)

    def _adapts_after(self, index: int) -> bool:
        """Whether an adapter may change the tokens that leave this block."""
        return any(index in one.layers and not one.works_inside for one in self._all_adapters())

    def _adapted_block(self, index: int, tokens: Tensor, done: Prefix) -> Tensor:
        """One block and what adapters do in it and after it. All of it is recomputed together, hooks included."""
        context = Context(done.grid, self.trunk.num_prefix_tokens)
        attention = None
        for adapter in self._all_adapters():
            adapter.context = context
        try:
            if self._reads(index):
                tokens, attention = self.trunk.block_with_attention(index, tokens, done.positions)
            else:
                tokens = self.trunk.block(index, tokens, done.positions)
        finally:
            for adapter in self._all_adapters():
                adapter.context = None
        return self._after_block(index, tokens, attention, done)

    def _after_block(self, index: int, tokens: Tensor, attention: Tensor | None, done: Prefix) -> Tensor:
        before = tokens
        for name, adapter in self.adapters.items() if self._with_adapters else ():
            if index in adapter.layers:
                read = done.guidance.get(name)
                if read is None and attention is not None:
                    read = self._map(attention, done.grid, adapter.reads)
                tokens = adapter.after_block(index, tokens, Context(done.grid, self.trunk.num_prefix_tokens, read))
        self._note(index, before, tokens, attention)
        return tokens

    def _note(self, index: int, before: Tensor, after: Tensor, attention: Tensor | None) -> None:
        if self._record is not None:
            self._record.before[index], self._record.after[index] = before.detach(), after.detach()
            if attention is not None:
                self._record.attention[index] = attention

    def _reads(self, index: int) -> bool:
        """Whether an adapter, or a record, reads the attention of this block."""
        if self._record is not None and self.trunk.has_class_token:
            return True
        return any(one.reads != 'nothing' and not one.guidance and index in one.layers for one in self._all_adapters())

    def _run(self, function: Any, *args: Any) -> Tensor:
        if self.with_cp and torch.is_grad_enabled():
            return checkpoint(function, *args, use_reentrant=False)
        return function(*args)

    def guidance_map(self, images: Tensor, normalize: bool = True) -> Tensor:
        """The untouched trunk's attention from the class token to the patches: images -> (B, h, w).

        At full resolution, of the last block, or of the block that an adapter's ``guidance`` names. The mean over heads
        of the softmax over all tokens, stretched to [0, 1] unless ``normalize=False``. Where an adapter trains the
        trunk's own parameters, the trunk is as trained.

        Raises:
            ValueError: The trunk has no class token, or its attention cannot be read.
        """
        self._require_trunk()
        self.trunk.tap(self.guidance_layer)
        padded = self._pad(images)
        with torch.no_grad(), self.without_adapters(), self._precision(images.device.type):
            tokens, positions = self.trunk.embed(padded)
            row = self._untouched_attention(tokens, positions, 0, self.guidance_layer)
        attention = row.mean(dim=1)[:, self.trunk.num_prefix_tokens :].unflatten(1, self._grid(padded))
        return normalize_map(attention) if normalize else attention

    @property
    def guidance_layer(self) -> int:
        """The block whose attention `guidance_map` returns."""
        named = [adapter.guidance.layer for adapter in self.adapters.values() if adapter.guidance]
        return named[0] if named else self.num_layers - 1

    def _untouched_attention(self, tokens: Tensor, positions: Any, start: int, layer: int) -> Tensor:
        """Run blocks ``start`` to ``layer - 1`` unadapted; return the attention in block ``layer``, (B, heads, N)."""
        with torch.no_grad():
            for index in range(start, layer):
                tokens = self.trunk.block(index, tokens, positions)
            return self.trunk.class_attention(layer, tokens, positions)

    def _attention_of_smaller_image(self, padded: Tensor, guidance: Guidance) -> tuple[Tensor, tuple[int, int]]:
        size = [max(1, round(n * guidance.scale)) * self.patch_size for n in self._grid(padded)]
        with torch.no_grad():
            # In float32: torch cannot antialias in half precision on the CPU.
            resized = F.interpolate(padded.float(), size=size, mode='bilinear', antialias=True).to(padded.dtype)
            tokens, positions = self.trunk.embed(resized)
            return self._untouched_attention(tokens, positions, 0, guidance.layer), self._grid(resized)

    def _map(self, attention: Tensor, grid: tuple[int, int], reads: str) -> Tensor:
        """The class token's attention (B, heads, N) as what an adapter reads: (B, h, w) or (B, heads, h, w)."""
        patches = attention if reads == 'heads' else attention.mean(dim=1)
        return normalize_map(patches[..., self.trunk.num_prefix_tokens :].unflatten(-1, grid))

    def _require_trunk(self) -> None:
        if self.trunk_id is None and self.init_cfg is not None:
            raise RuntimeError(
                f'{self.arch} has no weights yet: load a checkpoint or call init_weights() before the first forward '
                f'pass (init_cfg names {self.init_cfg["checkpoint"]}). A random trunk must be asked for with '
                'init_cfg=None.'
            )

    def _pad(self, images: Tensor) -> Tensor:
        if images.ndim != 4 or images.shape[1] != 3 or not images.numel():
            raise ValueError(f'images have shape {tuple(images.shape)}, expected (B, 3, H, W)')
        bottom, right = (-side % self.patch_size for side in images.shape[2:])
        return F.pad(images, (0, right, 0, bottom)) if bottom or right else images

    def _grid(self, padded: Tensor) -> tuple[int, int]:
        return padded.shape[2] // self.patch_size, padded.shape[3] // self.patch_size

    def _output(self, tokens: Tensor, grid: tuple[int, int]) -> Tensor:
        prefix = self.trunk.num_prefix_tokens
        if self.out_type == 'cls_token':
            return tokens[:, 0]
        if self.out_type == 'cls_avg':
            return torch.cat([tokens[:, 0], tokens[:, prefix:].mean(dim=1)], dim=1)
        return tokens[:, prefix:].transpose(1, 2).unflatten(2, grid)  # (B, D, h, w)


def _out_indices(indices: Sequence[int] | None, trunk: Any) -> tuple[int, ...]:
    if indices is None:
        # Of 24 blocks DINOv3's dense heads read the fourth, not the fifth: so do its published results.
        indices = (4, 11, 17, 23) if trunk.depth == 24 else [trunk.depth * quarter // 4 - 1 for quarter in (1, 2, 3, 4)]
    found = block_indices('out_indices', indices, trunk)
    if not found:
        raise ValueError('out_indices is empty, expected at least one block')
    return found


def _forgive_absent_trunk(backbone: DAGAViT, incompatible: Any) -> None:
    """A checkpoint without the trunk is complete: the trunk came from its file."""
    incompatible.missing_keys[:] = [key for key in incompatible.missing_keys if 'trunk.model.' not in key]
