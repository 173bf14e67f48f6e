"""What of a model is trained, frozen, and added by adapters; counted without memory for its weights."""

from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from torch import nn

from ..backbones import find_backbones


def build_on_meta(config: Config) -> nn.Module:
    """Build a config's model without memory for its weights: every tensor has a shape and nothing in it.

    Its trunk counts as random, so that it runs: on tensors of the same kind, with shapes for a result.

    Args:
        config: As `load_config` returns it; its default scope becomes the process's.
    """
    init_default_scope(config.get('default_scope') or 'mmengine')
    model: dict[str, Any] = {**config.model, 'backbone': {**config.model.backbone, 'init_cfg': None}}
    if 'data_preprocessor' in config:  # where mmpretrain has it
        model.setdefault('data_preprocessor', config.data_preprocessor)
    with torch.device('meta'):
        return MODELS.build(model)


def count_parameters(model: nn.Module) -> dict[str, int]:
    """Numbers of parameters: 'total', 'trained', 'frozen', and 'added', those of the adapters."""
    total = sum(p.numel() for p in model.parameters())
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    added = sum(p.numel() for backbone in find_backbones(model).values() for p in backbone.adapters.parameters())
    return dict(total=total, trained=trained, frozen=total - trained, added=added)
