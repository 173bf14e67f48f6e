"""The interface between DAGAViT and a vision transformer that another library implements.

Each family of models has a subclass of `Trunk` in a file of its own, registered in ``TRUNKS`` under the name that
``DAGAViT(source=…)`` takes.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..layers import class_attention
from ..registry import TRUNKS


class Trunk(nn.Module, ABC):
    """A vision transformer, run one block at a time.

    Shapes: B images, N = P + h·w tokens of D channels. The P prefix tokens come first, the class token first of all.

    Attributes:
        model: The transformer, as its library implements it.
        arch: Its name, for messages.
        embed_dims: D.
        patch_size: Side of a patch in pixels.
        depth: Number of blocks.
        num_prefix_tokens: P, class token and registers; 0 for models without either.
        num_heads: Attention heads of a block.
        has_class_token: Whether the first token is a class token.
    """

    model: Any  # a class of another library: its attributes are checked when it is built
    arch: str
    embed_dims: int
    patch_size: int
    depth: int
    num_prefix_tokens: int
    num_heads: int
    has_class_token: bool

    def __init__(self) -> None:
        super().__init__()
        self.taps = nn.ModuleDict()  # no parameters: state dicts do not show them

    # -- the forward pass -------------------------------------------------------------------------------------

    @abstractmethod
    def embed(self, images: Tensor) -> tuple[Tensor, Any]:
        """Images (B, 3, H, W), sides multiples of the patch -> tokens (B, N, D), positions for the blocks."""

    @abstractmethod
    def block(self, index: int, tokens: Tensor, positions: Any) -> Tensor:
        """Run one block: tokens (B, N, D) -> (B, N, D)."""

    @abstractmethod
    def norm(self, tokens: Tensor) -> Tensor:
        """The final norm, on all tokens."""

    # -- attention --------------------------------------------------------------------------------------------

    def tap(self, index: int) -> None:
        """Register the hooks by which the class token's attention in block ``index`` can be read.

        Raises:
            ValueError: The model has no class token, or its attention has no module that makes queries and keys.
        """
        if not self.has_class_token:
            raise ValueError(f'{self.arch} has no class token, so there is no class-to-patch attention to read')
        if str(index) not in self.taps:
            modules = self._query_key_modules(index)
            self.taps[str(index)] = tap = _Tap(len(modules))
            for module in modules:
                module.register_forward_hook(tap.take)

    def block_with_attention(self, index: int, tokens: Tensor, positions: Any) -> tuple[Tensor, Tensor]:
        """Run a tapped block: tokens (B, N, D), and the class token's attention in it, (B, heads, N), float32.

        The attention is computed from the queries and keys of the block itself, without gradient.
        """
        tap: Any = self.taps[str(index)]
        taken: list[Tensor] = []
        tap.taken = taken
        try:
            tokens = self.block(index, tokens, positions)
        finally:  # checkpointing leaves a block early when it has recomputed what it needs
            tap.taken = None
        return tokens, self._attention(index, taken, positions)

    def class_attention(self, index: int, tokens: Tensor, positions: Any) -> Tensor:
        """The class token's attention in a tapped block that reads ``tokens``: (B, heads, N), float32.

        The block ends as soon as its queries and keys are known.
        """
        tap: Any = self.taps[str(index)]
        taken: list[Tensor] = []
        tap.taken, tap.stops = taken, not torch.compiler.is_exporting()  # a graph drops unused operations by itself
        try:
            with torch.no_grad():
                self.block(index, tokens, positions)
        except _Enough:
            pass
        finally:
            tap.taken, tap.stops = None, False
        return self._attention(index, taken, positions)

    def _attention(self, index: int, taken: list[Tensor], positions: Any) -> Tensor:
        with torch.no_grad():
            query, key, scale = self._query_and_keys(index, taken, positions)
            if key.shape[1] < query.shape[1]:  # grouped queries: a key serves several heads
                key = key.repeat_interleave(query.shape[1] // key.shape[1], dim=1)
            return class_attention(query, key, scale)

    @abstractmethod
    def _query_key_modules(self, index: int) -> Sequence[nn.Module]:
        """The modules of a block whose outputs hold its queries and keys, in the order in which they run."""

    @abstractmethod
    def _query_and_keys(self, index: int, taken: list[Tensor], positions: Any) -> tuple[Tensor, Tensor, float]:
        """From those outputs: the class token's query (B, heads, 1 or N, d), keys (B, heads, N, d), both with positions
        applied, and the scale; see `class_attention`."""

    # -- modules and parameters -------------------------------------------------------------------------------

    def site(self, index: int, role: str) -> nn.Module:
        """The module of block ``index`` whose output has a role.

        Args:
            index: The block.
            role: 'block'; 'attn_branch', 'mlp_branch': what is added to the tokens, LayerScale included; 'mlp', whose
                input is normalised where the block normalises first; or the name of one of the block's linear layers,
                such as 'qkv', 'proj', 'fc1'.

        Raises:
            ValueError: The block has no such module.
        """
        block = self.model.blocks[index]
        named = {name.rpartition('.')[2]: module for name, module in block.named_modules()}
        named.update({'block': block, **self._roles(block)})
        if role not in named:
            linear = sorted(name for name, module in named.items() if isinstance(module, nn.Linear))
            raise ValueError(
                f'{self.arch} has no {role!r} in block {index}; its linear layers are {", ".join(linear) or "none"}'
            )
        return named[role]

    @abstractmethod
    def _roles(self, block: Any) -> dict[str, nn.Module]:
        """'attn_branch' and 'mlp_branch' of a block, where it has them."""

    def projections(self, index: int, target: str) -> dict[str, nn.Linear]:
        """The linear layers that ``target`` means in block ``index``, by name.

        'qkv' also means separate q_proj, k_proj and v_proj.

        Raises:
            ValueError: The block has no such linear layer.
        """
        attn = getattr(self.model.blocks[index], 'attn', None)
        split = target == 'qkv' and getattr(attn, 'qkv', None) is None and getattr(attn, 'q_proj', None) is not None
        names = ('q_proj', 'k_proj', 'v_proj') if split else (target,)
        found = {name: self.site(index, name) for name in names}
        for name, module in found.items():
            if not isinstance(module, nn.Linear):
                raise ValueError(f'{name!r} of {self.arch} is a {type(module).__name__}, not a linear layer')
        return found  # type: ignore[return-value]

    def unused_parameters(self) -> tuple[str, ...]:
        """Prefixes of names, 'model.…', of parameters that no output depends on."""
        return ()

    def layer_depth(self, name: str) -> int:
        """For layer-wise learning rates: 0 for the embedding, i + 1 for block i, depth + 1 for the final norm."""
        if name.startswith('model.blocks.'):
            return int(name.split('.')[2]) + 1
        return self.depth + 1 if name.startswith(('model.norm.', 'model.fc_norm.', 'model.cls_norm.')) else 0

    def train(self, mode: bool = True) -> 'Trunk':
        """Positions stay in eval mode: DINOv3 rescales rotary coordinates at random in training."""
        super().train(mode)
        positional = self.positional()
        if positional is not None:
            positional.eval()
        return self

    def positional(self) -> nn.Module | None:
        """The module that makes rotary positions, if the model has one."""
        return None

    # -- weights ----------------------------------------------------------------------------------------------

    @abstractmethod
    def convert(self, state: Mapping[str, Tensor], origin: str) -> dict[str, Tensor]:
        """A published state dict of any known format -> the names of ``model``, with everything that features need.

        Args:
            state: The tensors of the file.
            origin: The file, for messages.

        Raises:
            ValueError: Weights that are not zero have no parameter in the model, or the format does not fit it.
        """


class _Enough(Exception):
    """Raised to end a block early."""


class _Tap(nn.Module):
    """Keeps the outputs of hooked modules while a forward pass needs them.

    Args:
        count: Number of hooked modules.
    """

    taken: list[Tensor] | None = None
    stops = False

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count

    def take(self, module: nn.Module, args: tuple, output: Tensor) -> None:
        if self.taken is not None:
            self.taken.append(output)
            if self.stops and len(self.taken) == self.count:
                raise _Enough


def build_trunk(arch: str | dict, source: str = 'timm', dtype: torch.dtype | None = None) -> Trunk:
    """Build a randomly initialised trunk.

    Args:
        arch: A name, or a dict with the name under ``name`` and changes to the architecture beside it, e.g.
            ``dict(name='dinov3_vits16', embed_dim=96, depth=6, num_heads=3)``.
        source: A name in ``TRUNKS``: 'timm' or 'dinov3'.
        dtype: Of the weights of linear and convolution layers. They are built in it, without a copy in float32. All
            else stays in float32.

    Raises:
        ValueError: Unknown source or architecture.
        TypeError: ``arch`` is neither a name nor a dict.
    """
    if not isinstance(arch, str | dict):
        raise TypeError(f"arch is {arch!r}, expected a name or dict(name=…, …), e.g. arch='dinov3_vits16'")
    options = dict(arch) if isinstance(arch, dict) else {'name': arch}
    name = options.pop('name', None)
    if not isinstance(name, str):
        raise ValueError(f"arch={arch} has no architecture name, expected one under 'name'")
    family = TRUNKS.get(source)
    if family is None:
        raise ValueError(f'source is {source!r}, expected one of {", ".join(map(repr, sorted(TRUNKS.module_dict)))}')
    if dtype is None:
        return family(name, **options)
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        trunk = family(name, **options)
    finally:
        torch.set_default_dtype(before)
    _widen(trunk, dtype)
    return trunk


def _widen(trunk: nn.Module, dtype: torch.dtype) -> None:
    """Convert to float32 what was built in ``dtype``, all but the weights of linear and convolution layers."""
    for module in trunk.modules():
        kept = module._parameters.get('weight') if isinstance(module, nn.Linear | nn.Conv2d) else None
        for tensor in (*module._parameters.values(), *module._buffers.values()):
            if tensor is not None and tensor is not kept and tensor.dtype == dtype:
                tensor.data = tensor.data.float()
