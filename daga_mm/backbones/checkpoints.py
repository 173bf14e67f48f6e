"""Weight files: safe reading, formats recognised by content, strict matching; and the layout of daga_mm's checkpoints.

A checkpoint of daga_mm contains, below the prefix of the backbone ('backbone.'):

- ``trunk.*``: the whole trunk; or exactly what was trained in it, or nothing, and then its file is loaded first;
- ``adapters.<name>.*``: what the adapters added;
- ``trunk_id``: the pretrained trunk (`TrunkId`).
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..io import load_checkpoint_file
from .trunk import Trunk

SCHEMA = 1  # version of that layout, in the metadata of checkpoints
KEY = 'trunk_id'

StateDict = Mapping[str, Tensor]

# Parts of published files that trunks do not have and features do not depend on.
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
    """Read a weight file as a flat dict of tensors on the CPU, without running code from it.

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
            f'no weights at {path}. How to get DINOv3 weights and where to put them: docs/weights.md; '
            '`python -m daga_mm.doctor` lists what is found.'
        )
    return _unwrap(load_checkpoint_file(path), path)


def _unwrap(content: object, path: Path) -> dict[str, Tensor]:
    """Find the state dict in the content of a torch file."""
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


@dataclass(frozen=True)
class TrunkId:
    """The pretrained trunk that a checkpoint was trained on.

    Attributes:
        arch: Its architecture's name.
        source: 'timm' or 'dinov3'.
        fingerprint: `fingerprint` of the pretrained weights, in float32.
        file: The file they were read from.
    """

    arch: str
    source: str
    fingerprint: str
    file: str

    def __str__(self) -> str:
        return f'{self.arch} from {self.file} (source {self.source}, fingerprint {self.fingerprint})'

    def as_tensor(self) -> Tensor:
        """As bytes in a tensor (N,), which state dicts and safetensors can hold."""
        return torch.frombuffer(bytearray(json.dumps(asdict(self)).encode()), dtype=torch.uint8)

    @classmethod
    def from_tensor(cls, tensor: Tensor) -> 'TrunkId':
        """The inverse of `as_tensor`.

        Raises:
            ValueError: The tensor does not hold such bytes.
        """
        try:
            return cls(**json.loads(bytes(tensor.tolist())))
        except (TypeError, ValueError) as error:
            raise ValueError(f'the checkpoint does not say which trunk it belongs to: its {KEY} is damaged') from error

    def find(self) -> Path | None:
        """The file, or one with its name in the folder of the weights; None if there is none."""
        path = Path(self.file)
        places = (path, Path(os.environ.get('DINOV3_CHECKPOINTS', 'checkpoints'), path.name))
        return next((place for place in places if place.is_file()), None)


def below(state: StateDict, prefix: str) -> dict[str, Tensor]:
    """The part of a state dict whose keys start with ``prefix``, without it."""
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}


def backbone_prefix(state: StateDict) -> str | None:
    """The prefix of the backbone's keys ('backbone.') in a checkpoint of daga_mm; None for other state dicts.

    Raises:
        ValueError: The checkpoint has several backbones.
    """
    prefixes = {key[: key.index('trunk.model.')] for key in state if 'trunk.model.' in key}
    prefixes |= {key.removesuffix(KEY) for key in state if key.rpartition('.')[2] == KEY}
    if len(prefixes) > 1:
        raise ValueError(
            f'expected one DAGAViT in the checkpoint, found {len(prefixes)}: {", ".join(sorted(prefixes))}'
        )
    return prefixes.pop() if prefixes else None


def load_trunk(trunk: Trunk, state: StateDict, origin: str) -> str:
    """Fill a trunk from a published state dict, or fail without touching it.

    Args:
        trunk: The trunk to fill.
        state: Any format that `Trunk.convert` of its family knows.
        origin: Where it comes from, for messages.

    Returns:
        The fingerprint of the weights.

    Raises:
        ValueError: Tensors are missing, unexpected, misshapen, not finite, or would be lost; all are listed.
    """
    state = trunk.convert(state, origin)
    expected = trunk.model.state_dict()
    state = {key: value for key, value in state.items() if key in expected or not key.startswith(_EXTRAS)}
    problems = compare(expected, state)
    if problems:
        raise ValueError(f'{origin} does not fit the trunk {trunk.arch}:\n{problems}')
    trunk.model.load_state_dict(state)
    return fingerprint(state)


def compare(expected: StateDict, state: StateDict) -> str:
    """Mismatches of ``state``, one line per kind; empty if everything fits."""
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
    """The first 16 hexadecimal digits of a SHA-256 over names, shapes and values in float32."""
    digest = hashlib.sha256()
    for key in sorted(state):
        value = state[key].detach().cpu()
        value = value.float() if value.is_floating_point() else value
        digest.update(f'{key} {tuple(value.shape)} {value.dtype}'.encode())
        digest.update(value.contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]
