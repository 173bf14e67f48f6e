"""Results of the frozen blocks on disk, computed once per image."""

import hashlib
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from mmengine.logging import print_log
from safetensors.torch import load_file, save_file
from torch import Tensor

DTYPES = ('float32', 'bfloat16', 'float16')


class TokenCache:
    """One file per image, named by a hash of its pixels.

    Files are written atomically, so an interrupted run can continue to fill the folder, and processes can share it.

    Args:
        folder: Where the files go.
        dtype: 'float32' returns what was saved, bit for bit; 'bfloat16' and 'float16' need half the space.
        max_bytes: Limit of the folder's size; images beyond it are computed each time.

    Raises:
        ValueError: Unknown ``dtype``.
    """

    def __init__(self, folder: str | Path, dtype: str = 'float32', max_bytes: float = 20e9) -> None:
        if dtype not in DTYPES:
            raise ValueError(f'dtype is {dtype!r}, expected one of {", ".join(map(repr, DTYPES))}')
        self.folder = Path(folder)
        self.dtype = dtype
        self.max_bytes = max_bytes
        self.folder.mkdir(parents=True, exist_ok=True)
        self.bytes = sum(path.stat().st_size for path in self.folder.glob('*/*.safetensors'))
        self.full = False

    def fetch(self, images: Tensor, identity: str, compute: Callable[[Tensor], dict[str, Tensor]]) -> dict[str, Tensor]:
        """The tensors of images (B, 3, H, W), each with B rows: read from disk, or computed and saved.

        Args:
            images: The images.
            identity: Everything except for the image that the tensors depend on.
            compute: From images (M, 3, H, W), those that are not on disk, to tensors with M rows.
        """
        keys = [self.key(image, identity) for image in images]
        entries: Any = [self.load(key) for key in keys]
        missing = [number for number, entry in enumerate(entries) if entry is None]
        if missing:
            tensors = compute(images[missing])
            for row, number in enumerate(missing):
                entries[number] = {name: tensor[row].cpu() for name, tensor in tensors.items()}
                self.save(keys[number], entries[number])
        return {name: torch.stack([entry[name] for entry in entries]).to(images.device) for name in entries[0]}

    def key(self, image: Tensor, identity: str) -> str:
        """The name of an image (3, H, W) under a model: equal pixels and equal ``identity`` give equal names."""
        digest = hashlib.blake2b(f'{identity} {self.dtype} {tuple(image.shape)} {image.dtype}'.encode(), digest_size=16)
        digest.update(image.detach().cpu().contiguous().view(torch.uint8).numpy().data)
        return digest.hexdigest()

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f'{key}.safetensors'

    def load(self, key: str) -> dict[str, Tensor] | None:
        """The tensors saved under a name, memory-mapped; None if there are none."""
        path = self._path(key)
        if not path.is_file():
            return None
        named = ((*key.rpartition(':'), value) for key, value in load_file(path).items())
        return {name: value.to(getattr(torch, dtype)) for name, _, dtype, value in named}

    def save(self, key: str, tensors: dict[str, Tensor]) -> None:
        """Save tensors under a name, unless the folder is full."""
        wanted = getattr(torch, self.dtype)
        stored = {
            f'{name}:{str(value.dtype).removeprefix("torch.")}': value.to(wanted).contiguous()
            for name, value in tensors.items()
        }
        size = sum(value.nbytes for value in stored.values())
        if self.bytes + size > self.max_bytes:
            if not self.full:
                print_log(
                    f'{self.folder} holds {self.bytes / 1e9:.1f} GB and has reached max_bytes: others are computed '
                    'in every epoch. Set a larger max_bytes or a 16-bit dtype',
                    'current',
                    logging.WARNING,
                )
            self.full = True
            return
        path = self._path(key)
        path.parent.mkdir(exist_ok=True)
        unfinished = path.with_suffix(f'.{os.getpid()}.part')
        try:
            save_file(stored, unfinished)
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)
        self.bytes += size
