"""Adapters: methods that adapt a frozen trunk, one per file, chosen by ``DAGAViT(adapter=NAME)``."""

from .adapter import Adapter, Context, Guidance, block_indices
from .adaptformer import AdaptFormer
from .bitfit import BitFit
from .build import adapter_names, build_adapters
from .daga import DAGA
from .last_blocks import LastBlocks
from .lora import LoRA
from .mona import Mona

__all__ = [
    'DAGA',
    'AdaptFormer',
    'Adapter',
    'BitFit',
    'Context',
    'Guidance',
    'LastBlocks',
    'LoRA',
    'Mona',
    'adapter_names',
    'block_indices',
    'build_adapters',
]
