"""Whether a checkpoint is one of this model: mmengine loads what fits, and leaves the rest random."""

import re
from collections.abc import Mapping
from typing import Any

from mmengine.model import BaseTTAModel, is_model_wrapper
from torch import nn

from ..backbones import DAGAViT
from ..compat import load_checkpoint_file

SHOWN = 5  # names, where many are wrong


def require_fit(model: nn.Module, path: str, whole: bool = True) -> None:
    """Refuse a checkpoint that leaves parts of the model as they were.

    Of a frozen trunk nothing is asked: `DAGAViT` looks after it. BatchNorm's counters and what the model has no place
    for don't matter, but for adapters: without them, or with some of them, the figures would be of another model.

    Args:
        model: The model of a run, wrapped or not.
        path: The file of the checkpoint.
        whole: Ask for every tensor; else, to go on training from other weights, for any.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is none that can be read, tensors are missing or misshapen, or adapters of its own would be left
            out.
    """
    content = load_checkpoint_file(path)
    state = content.get('state_dict', content) if isinstance(content, Mapping) else {}
    shapes = {re.sub(r'^module\.', '', key): value.shape for key, value in state.items() if hasattr(value, 'shape')}
    model = unwrapped(model)
    backbones = {name: module for name, module in model.named_modules() if isinstance(module, DAGAViT)}
    own = model.state_dict()
    for name, backbone in backbones.items():
        extra = [key for key in shapes if key.startswith(f'{name}.adapters.') and key not in own]
        if extra and (whole or backbone.adapters):
            raise ValueError(
                f'{path} has adapters that this model ({", ".join(backbone.adapters) or "none"}) has no place for: '
                f'{_some(extra)}. Use the config that it was trained with'
            )
    trunks = tuple(f'{name}.trunk.' for name in backbones)
    asked = {
        key: value.shape
        for key, value in own.items()
        if not key.startswith(trunks) and not key.endswith('num_batches_tracked')
    }
    missing = [key for key in asked if key not in shapes]
    misshapen = [
        f'{key} {tuple(shapes[key])} instead of {tuple(shape)}'
        for key, shape in asked.items()
        if shapes.get(key, shape) != shape
    ]
    if asked and len(missing) == len(asked) and not any(key.startswith(trunks) for key in shapes):
        raise ValueError(
            f'{path} holds nothing of this model: it is of another one, or the weights of a trunk alone, which '
            'model.backbone.init_cfg.checkpoint names'
        )
    if whole and (missing or misshapen):
        faults = {'missing': missing, 'misshapen': misshapen}
        raise ValueError(
            f'{path} is not a checkpoint of this model, whose head would stay random: '
            + '; '.join(f'{kind} ({len(keys)}): {_some(keys)}' for kind, keys in faults.items() if keys)
            + '. Take the config that it was trained with (its run wrote it into the work dir), with the same classes'
        )


def require_resumable(path: str) -> None:
    """Refuse to resume from weights alone.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is none that can be read, or has no training state.
    """
    content = load_checkpoint_file(path)
    content = content if isinstance(content, Mapping) else {}
    meta: Any = content.get('meta') or {}
    lacking = [key for key in ('optimizer', 'message_hub') if key not in content]
    lacking += [key for key in ('epoch', 'iter') if key not in meta]
    if lacking:
        raise ValueError(
            f'{path} is not one to resume from: it has no {", ".join(lacking)}, only weights. To start a new training '
            f'from them: --cfg-options load_from={path}, without --resume'
        )


def unwrapped(model: Any) -> Any:
    """The model itself, without wrappers for several devices and for test-time augmentation."""
    while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
        model = model.module
    return model


def _some(names: list[str]) -> str:
    return ', '.join(names[:SHOWN]) + ' …' * (len(names) > SHOWN)
