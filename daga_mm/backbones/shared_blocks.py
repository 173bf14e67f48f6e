"""Several backbones on one trunk without running a block twice on the same tokens."""

from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from typing import Any

import torch
from torch import Tensor

from .trunk import Trunk


@contextmanager
def shared_blocks(trunk: Trunk) -> Iterator[None]:
    """In this context the trunk keeps and reuses its results for images without adapters.

    Backbones that hold the trunk need no change. Up to its first adapted block, a backbone reuses the tokens of the
    backbones before it. Results are the same bit for bit. Images are recognised by their pixels, so windows of one
    image are shared too. The tokens of every block are kept until the end of the context.

    For inference under ``torch.no_grad()``, in one thread.

    Args:
        trunk: The trunk that the backbones share. Attention is read in every block that has a tap, as an adapter of any
            of them may need it.
    """
    memory = _Memory(copy(trunk))  # the same modules, whose methods call each other rather than those set below
    methods = ('embed', 'block', 'block_with_attention', 'class_attention')
    vars(trunk).update({name: getattr(memory, name) for name in methods})
    try:
        yield
    finally:
        for name in methods:
            del vars(trunk)[name]


class _Stream:
    """Images in the unadapted trunk.

    Attributes:
        images: (B, 3, H, W), padded.
        precision: Of autocast; None without.
        positions: For the blocks.
        attention: By block, the class token's attention, (B, heads, N).
    """

    def __init__(self, images: Tensor, precision: torch.dtype | None, tokens: Tensor, positions: Any) -> None:
        self.images = images
        self.precision = precision
        self.positions = positions
        self.attention: dict[int, Tensor] = {}
        self._tokens: list[tuple[Tensor, int]] = []
        self.put(0, tokens)

    def put(self, index: int, tokens: Tensor) -> None:
        """Keep the tokens that enter block ``index``, and drop those of later blocks."""
        self._tokens[index:] = [(tokens, tokens._version)]

    def get(self, index: int) -> Tensor | None:
        """The tokens that enter block ``index``; None if they are unknown or were changed in place."""
        tokens, version = self._tokens[index] if index < len(self._tokens) else (None, 0)
        return tokens if tokens is not None and tokens._version == version else None


class _Memory:
    """The methods of a trunk with a memory: results for tokens that are the same object are reused."""

    def __init__(self, trunk: Trunk) -> None:
        self.trunk = trunk
        self.streams: list[_Stream] = []

    def embed(self, images: Tensor) -> tuple[Tensor, Any]:
        device = images.device.type
        precision = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None
        for stream in self.streams:
            tokens = stream.get(0)
            if tokens is not None and stream.precision == precision and _equal(stream.images, images):
                return tokens, stream.positions
        tokens, positions = self.trunk.embed(images)
        self.streams.append(_Stream(images, precision, tokens, positions))
        return tokens, positions

    def block(self, index: int, tokens: Tensor, positions: Any) -> Tensor:
        stream = self._stream(index, tokens)
        if stream is None:
            return self.trunk.block(index, tokens, positions)
        return self._leaving(stream, index, tokens)

    def block_with_attention(self, index: int, tokens: Tensor, positions: Any) -> tuple[Tensor, Tensor]:
        stream = self._stream(index, tokens)
        if stream is None:
            return self.trunk.block_with_attention(index, tokens, positions)
        return self._leaving(stream, index, tokens), stream.attention[index]

    def class_attention(self, index: int, tokens: Tensor, positions: Any) -> Tensor:
        stream = self._stream(index, tokens)
        if stream is None:
            return self.trunk.class_attention(index, tokens, positions)
        if index not in stream.attention:
            stream.attention[index] = self.trunk.class_attention(index, tokens, positions)
        return stream.attention[index]

    def _stream(self, index: int, tokens: Tensor) -> _Stream | None:
        """The stream with these tokens at the entry of a block; adapted tokens are in none."""
        return next((stream for stream in self.streams if stream.get(index) is tokens), None)

    def _leaving(self, stream: _Stream, index: int, tokens: Tensor) -> Tensor:
        """The tokens that leave a block of a stream; the stream also keeps the block's attention."""
        after = stream.get(index + 1)
        if after is None:
            if str(index) in self.trunk.taps:
                after, stream.attention[index] = self.trunk.block_with_attention(index, tokens, stream.positions)
            else:
                after = self.trunk.block(index, tokens, stream.positions)
            stream.put(index + 1, after)
        return after


def _equal(one: Tensor, other: Tensor) -> bool:
    same = (one.shape, one.dtype, one.device) == (other.shape, other.dtype, other.device)
    return same and torch.equal(one, other)
