"""Weights of every format a trunk comes in: read safely, recognised by content, matched tensor by tensor."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from ..compat import load_checkpoint_file
from .formats import StateDict, for_timm, is_hugging_face, official_from_hugging_face
from .trunk import DINOv3Trunk, TimmTrunk, Trunk

# Parts of published files that no trunk has a place for, and that no feature depends on.
_EXTRAS = (
    'mask_token',  # masked pretraining only
    'local_cls_norm.',  # DINOv3 7B and satellite: local crops of the pretraining only
    'head.',  # classifiers, and the decoder of masked autoencoders
    'head_dist.',
    'fc_norm.',
    'decoder_',
    'lm_head.',
    'projectors.',
)


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """Read a weight file as a flat dict of tensors on the CPU, without ever running code from it.

    Safetensors and torch files: plain state dicts, or wrapped as mmengine, DINOv3 and others do.

    Raises:
        FileNotFoundError: No such file.
        ValueError: It is empty, truncated, a web page, a Git LFS pointer, holds code, or no tensors.
    """
    path = Path(path)
    if str(path).startswith(('http:/', 'https:/')):
        raise ValueError(f'{path}: download the weights first, and give the path of the file')
    if not path.is_file():
        raise FileNotFoundError(
            f'no weights at {path}. Where DINOv3 weights come from and where they go: docs/weights.md; '
            '`python -m daga_mm.doctor` lists what is found.'
        )
    return _unwrap(load_checkpoint_file(path), path)


def _unwrap(content: object, path: Path) -> dict[str, Tensor]:
    """Find the state dict in what a torch file holds."""
    wrappers = ('state_dict', 'teacher', 'model_ema', 'model', 'module')
    while isinstance(content, Mapping) and not any(isinstance(value, Tensor) for value in content.values()):
        inner = next((content[key] for key in wrappers if isinstance(content.get(key), Mapping)), None)
        if inner is None:
            break
        content = inner
    tensors = {
        str(key): value
        for key, value in (content.items() if isinstance(content, Mapping) else ())
        if isinstance(value, Tensor)
    }
    if not tensors:
        raise ValueError(f'{path} holds no state dict of tensors')
    return tensors


def split_own_checkpoint(state: StateDict) -> tuple[dict[str, Tensor], dict[str, Tensor]] | None:
    """Split a checkpoint of ours into the trunk's tensors and the adapters'; None if it isn't one.

    The backbone may sit at any depth (``backbone.trunk.…``, ``module.backbone.trunk.…``).
    """
    prefixes = {key[: key.index('trunk.model.')] for key in state if 'trunk.model.' in key}
    if len(prefixes) != 1:
        return None
    prefix = prefixes.pop()

    def below(name: str) -> dict[str, Tensor]:
        return {k[len(prefix + name) :]: v for k, v in state.items() if k.startswith(prefix + name)}

    return below('trunk.model.'), below('adapters.')


def load_trunk(trunk: Trunk, state: StateDict, origin: str) -> None:
    """Fill a trunk from a state dict of any known format, or fail without touching it.

    Args:
        trunk: The trunk to fill.
        state: DINOv3 as Meta, Hugging Face or timm publish it, or another format that timm converts for this
            family; the tensors of one of our own checkpoints, as `split_own_checkpoint` returns them.
        origin: Where it comes from, for messages.

    Raises:
        ValueError: Tensors are missing, unexpected, misshapen, not finite, or would be lost; all are listed.
    """
    if is_hugging_face(state):
        state = official_from_hugging_face(state)
    elif 'backbone.cls_token' in state:  # DINOv3's own training checkpoints, which have its heads too
        state = {key.removeprefix('backbone.'): state[key] for key in state if key.startswith('backbone.')}
    given = state
    if isinstance(trunk, TimmTrunk):
        state = for_timm(trunk, state, origin)
    elif 'rope_embed.periods' not in state and 'storage_tokens' in state:
        state = {**state, 'rope_embed.periods': trunk.model.rope_embed.periods.bfloat16().float()}
    expected = trunk.model.state_dict()
    extras = {key for key in state if key not in expected and key.startswith(_EXTRAS)}
    problems = compare(expected, {k: v for k, v in state.items() if k not in extras})
    if problems:
        hint = ''
        if isinstance(trunk, DINOv3Trunk) and 'reg_token' in given:
            hint = "\nThese are timm's names: load the file with source='timm'."
        raise ValueError(f'{origin} does not fit the trunk {trunk.arch}:\n{problems}{hint}')
    trunk.model.load_state_dict({key: value for key, value in state.items() if key not in extras})


def compare(expected: StateDict, state: StateDict) -> str:
    """What is wrong with ``state``, a line per kind of fault; empty where everything fits."""
    faults = {
        'missing': [key for key in expected if key not in state],
        'unexpected': [key for key in state if key not in expected],
        'misshapen': [
            f'{key} {tuple(state[key].shape)} instead of {tuple(expected[key].shape)}'
            for key in expected
            if key in state and state[key].shape != expected[key].shape
        ],
        'not finite': [key for key, value in state.items() if not torch.isfinite(value).all()],
    }
    return '\n'.join(f'  {kind} ({len(keys)}): {", ".join(keys)}' for kind, keys in faults.items() if keys)


def fingerprint(state: StateDict) -> str:
    """The first 16 hexadecimal digits of a SHA-256 over names, shapes, types and values."""
    digest = hashlib.sha256()
    for key in sorted(state):
        value = state[key].detach().cpu().contiguous()
        digest.update(f'{key} {tuple(value.shape)} {value.dtype}'.encode())
        digest.update(value.flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]
