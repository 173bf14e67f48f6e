"""Whether a checkpoint is one of this model: mmengine loads what fits, and leaves the rest random."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from torch import nn

from ..backbones import DAGAViT, find_backbones, unwrap
from ..io import load_checkpoint_file

SHOWN = 5  # names, where many are wrong


def require_fit(model: nn.Module, path: str, whole: bool = True) -> None:
    """Refuse a checkpoint that leaves parts of the model as they were.

    A frozen trunk is not checked: `DAGAViT` does that. BatchNorm's counters, and what the model has no place for, may
    differ, except adapters: without them, or with some of them, the figures would be of another model.

    Args:
        model: The model of a run, wrapped or not.
        path: The file of the checkpoint.
        whole: Ask for every tensor; else, to go on training from other weights, for any.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is unreadable, tensors are missing or misshapen, or its adapters are not the model's.
    """
    content = load_checkpoint_file(path)
    state = content.get('state_dict', content) if isinstance(content, Mapping) else {}
    shapes = {re.sub(r'^module\.', '', key): value.shape for key, value in state.items() if hasattr(value, 'shape')}
    model = unwrap(model)
    backbones = {f'{name}.' if name else '': backbone for name, backbone in find_backbones(model).items()}
    for prefix, backbone in backbones.items():
        given = [key.removeprefix(prefix) for key in shapes if key.startswith((f'{prefix}trunk', f'{prefix}adapters.'))]
        _require_adapters(backbone, path, given, whole)
    trunks = tuple(f'{prefix}trunk.' for prefix in backbones)
    asked = {
        key: value.shape
        for key, value in model.state_dict().items()
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
            f'{path} is not a checkpoint of this model, parts of which would stay random: '
            + '; '.join(f'{kind} ({len(keys)}): {_some(keys)}' for kind, keys in faults.items() if keys)
            + '. Take the config that it was trained with (its run wrote it into the work dir), with the same classes'
        )


def _require_adapters(backbone: DAGAViT, path: str, keys: list[str], whole: bool) -> None:
    """Refuse a checkpoint with other adapters than the backbone's.

    To train from, a checkpoint may lack adapters of the backbone, and a backbone without any takes that of any.

    Args:
        backbone: Of the model.
        path: The file of the checkpoint, for messages.
        keys: What the checkpoint has of a DAGAViT; nothing if it is of another model.
        whole: As in `require_fit`.
    """
    own = backbone.state_dict().keys()
    theirs, ours = _adapters(keys), _adapters(own)
    trained = {key.removeprefix('trunk.') for key in keys if key.startswith('trunk.')}
    is_part = all(key.startswith('model.blocks.') for key in trained)  # else a whole trunk, however it was trained
    others = theirs - ours if whole or backbone.adapters else set()
    lacking = keys and ((whole and ours - theirs) or (is_part and trained != backbone.trained_in_trunk()))
    if others or lacking:
        option = f'--adapter {"".join(theirs) or "none"}'
        if len(theirs) > 1:
            option = f'--cfg-options model.backbone.adapter={",".join(sorted(theirs))}'
        found = _listed(theirs)
        if trained and is_part:
            option = '--adapter NAME'
            found += f' and {len(trained)} parameters of the trunk, which adapters such as bitfit and last_blocks train'
        raise ValueError(
            f'{path} has {found}; this model has {_listed(backbone.adapters)}. Choose the adapters of the checkpoint, '
            f'{option}, or use the config that it was trained with'
        )
    extra = [key for key in keys if key.startswith('adapters.') and key not in own]
    if extra and (whole or backbone.adapters):
        raise ValueError(
            f'{path} has parts of {_listed(theirs)} that this model has no place for: {_some(extra)}. Give the adapter '
            'the options that it was trained with, such as layers, or use its config'
        )


def _adapters(keys: Iterable[str]) -> set[str]:
    """The adapters that have keys of their own among those of a backbone."""
    return {key.split('.')[1] for key in keys if key.startswith('adapters.')}


def _listed(adapters: Iterable[str]) -> str:
    names = sorted(adapters)
    return f'the adapter{"s" * (len(names) > 1)} {", ".join(names)}' if names else 'no adapters'


def require_resumable(path: str) -> None:
    """Refuse to resume from weights alone.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is unreadable, or has no training state.
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


def _some(names: list[str]) -> str:
    return ', '.join(names[:SHOWN]) + ' …' * (len(names) > SHOWN)
