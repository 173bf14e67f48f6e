"""The forward pass of a trunk with adapters between and inside its blocks. `DAGAViT` adds weight files."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from ..adapters import Context, Guidance, block_indices, build_adapters
from ..layers import normalize_map, pad_to_multiple
from .checkpoints import TrunkId, below
from .token_cache import TokenCache
from .trunk import Trunk

OUT_TYPES = ('featmap', 'cls_token', 'cls_avg')


@dataclass
class Prefix:
    """Result of the forward pass up to the first adapted block, which does not depend on the adapters.

    Attributes:
        tokens: (B, N, D), entering that block, or leaving the block before it, which adapters may still change.
        positions: The trunk's positions for the blocks.
        grid: Patch grid (h, w).
        attention: The class token's attention in the block before, (B, heads, N), if an adapter reads it there.
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
    """Attention and tokens of a forward pass, by block; those of the last pass after several.

    Attributes:
        attention: The class token's attention, (B, heads, N), a softmax over all tokens; empty without a class token.
        before: Tokens (B, N, D) that leave the block.
        after: The same tokens after the adapters between blocks.
    """

    attention: dict[int, Tensor] = field(default_factory=dict)
    before: dict[int, Tensor] = field(default_factory=dict)
    after: dict[int, Tensor] = field(default_factory=dict)


class AdaptedViT(BaseModule):
    """The forward pass of a frozen vision transformer with adapters.

    Args:
        trunk: The vision transformer.
        adapter, out_indices, out_type, with_image, frozen, trunk_dtype, with_cp, init_cfg: As in `DAGAViT`.

    Raises:
        ValueError: Layers out of range or without influence on any output, an adapter that the trunk cannot have.
    """

    def __init__(
        self,
        trunk: Trunk,
        adapter: str | dict | Sequence[str | dict] | None,
        out_indices: Sequence[int] | None,
        out_type: str,
        with_image: bool,
        frozen: bool,
        trunk_dtype: str | None,
        with_cp: bool,
        init_cfg: dict | None,
    ) -> None:
        if out_type not in OUT_TYPES:
            raise ValueError(f'out_type is {out_type!r}, expected one of {", ".join(map(repr, OUT_TYPES))}')
        if out_type != 'featmap' and not trunk.has_class_token:
            raise ValueError(f"{trunk.arch} has no class token for out_type={out_type!r}: use out_type='featmap'")
        super().__init__(init_cfg)
        self.trunk = trunk
        self.arch = trunk.arch
        self.embed_dims = trunk.embed_dims
        self.patch_size = trunk.patch_size
        self.num_layers = trunk.depth
        self.out_indices = _out_indices(out_indices, trunk)
        self.out_type = out_type
        self.with_image = with_image
        self.frozen = frozen
        self.trunk_dtype = trunk_dtype
        self.with_cp = with_cp
        last = self.out_indices[-1]
        with torch.random.fork_rng(devices=()):  # with the same seed, heads are initialised alike with every adapter
            # If only patches change, the class token is affected from the next block on.
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
        self._freeze()

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

    def _adapter_names(self) -> str:
        return ', '.join(self.adapters) or 'none'

    def trained_in_trunk(self) -> set[str]:
        """Keys of the trunk's state dict that adapters train; empty if the whole trunk is trained."""
        if not self.frozen:
            return set()
        return {key for key, value in self.trunk.state_dict(keep_vars=True).items() if value.requires_grad}

    def _all_adapters(self) -> list[Any]:
        return list(self.adapters.values()) if self._with_adapters else []

    def train(self, mode: bool = True) -> 'AdaptedViT':
        """A frozen trunk stays in eval mode."""
        super().train(mode)
        if self.frozen:
            self.trunk.eval()
        return self

    @property
    def first_block(self) -> int:
        """The first block with changed tokens or weights; earlier blocks are the same for every frozen model."""
        last = self.out_indices[-1]
        if not self.frozen:
            return 0
        return min([adapter.first_block for adapter in self._all_adapters()], default=last + 1)

    @contextmanager
    def without_adapters(self) -> Iterator[None]:
        """Switch adapters off: in this context the forward pass is the trunk's.

        The trunk's own parameters stay as trained (`BitFit`, `LastBlocks`).

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
        """Record forward passes in this context: attention of every block, tokens before and after adapters."""
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
        """Run the part that is the same for every frozen model on this trunk: images (B, 3, H, W) -> `Prefix`."""
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
        """As `run_prefix`, but read from disk for images in the token cache."""

        def compute(images: Tensor) -> dict[str, Tensor]:
            with torch.no_grad():
                return self.prefix_tensors(self._run_prefix(images))

        found = cache.fetch(padded, self._prefix_identity(padded.device.type), compute)
        tokens, positions = padded, None
        if 'tokens' in found:
            tokens, positions = found['tokens'], self.trunk.embed(padded)[1]
        outputs = {int(index): output for index, output in below(found, 'outputs.').items()}
        return Prefix(tokens, positions, self._grid(padded), found.get('attention'), below(found, 'guidance.'), outputs)

    def prefix_tensors(self, done: Prefix) -> dict[str, Tensor]:
        """What `run_rest` needs of a `Prefix`, and what a token cache stores: tensors with a row per image."""
        tensors = {f'outputs.{index}': output for index, output in done.outputs.items()}
        tensors |= {f'guidance.{name}': map_ for name, map_ in done.guidance.items()}
        if len(done.outputs) < len(self.out_indices):  # else nothing is left to run
            tensors['tokens'] = done.tokens
            if done.attention is not None:
                tensors['attention'] = done.attention
        return tensors

    def _prefix_identity(self, device: str) -> str:
        """Everything except for the image that its prefix depends on."""
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
        """One block with its adapters, inside and after it. Checkpointing recomputes them together, hooks included."""
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
        of the softmax over all tokens, stretched to [0, 1] unless ``normalize=False``. The trunk's own parameters are
        as trained if an adapter trains them.

        Raises:
            ValueError: The trunk has no class token, or its attention cannot be read.
        """
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
        """The class token's attention (B, heads, N) as an adapter reads it: (B, h, w) or (B, heads, h, w)."""
        patches = attention if reads == 'heads' else attention.mean(dim=1)
        return normalize_map(patches[..., self.trunk.num_prefix_tokens :].unflatten(-1, grid))

    def _pad(self, images: Tensor) -> Tensor:
        if images.ndim != 4 or images.shape[1] != 3 or not images.numel():
            raise ValueError(f'images have shape {tuple(images.shape)}, expected (B, 3, H, W)')
        return pad_to_multiple(images, self.patch_size)

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
