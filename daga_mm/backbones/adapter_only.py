"""Checkpoints of what was trained alone, and the name of the trunk that belongs to them."""

import json
import os
from collections.abc import Mapping, MutableMapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

KEY = 'trunk_id'  # beside the tensors of the backbone, in the place of those of the trunk


@dataclass(frozen=True)
class TrunkId:
    """Which trunk a checkpoint without one belongs to.

    Attributes:
        arch: Its architecture's name.
        source: 'timm' or 'dinov3'.
        fingerprint: Of its weights, as `fingerprint` counts it.
        file: Where its weights were.
    """

    arch: str
    source: str
    fingerprint: str
    file: str

    def __str__(self) -> str:
        return f'{self.arch} from {self.file} (source {self.source}, fingerprint {self.fingerprint})'

    def as_tensor(self) -> Tensor:
        """As bytes, a tensor (N,): so it goes where tensors go, into a state dict and into safetensors."""
        return torch.frombuffer(bytearray(json.dumps(asdict(self)).encode()), dtype=torch.uint8)

    @classmethod
    def from_tensor(cls, tensor: Tensor) -> 'TrunkId':
        """The inverse of `as_tensor`.

        Raises:
            ValueError: These are no such bytes.
        """
        try:
            return cls(**json.loads(bytes(tensor.tolist())))
        except (TypeError, ValueError) as error:
            raise ValueError(f'the checkpoint does not say which trunk it belongs to: its {KEY} is damaged') from error

    def find(self) -> Path | None:
        """The file where it was, or one of its name where configs look for weights; None if there is none."""
        path = Path(self.file)
        places = (path, Path(os.environ.get('DINOV3_CHECKPOINTS', 'checkpoints'), path.name))
        return next((place for place in places if place.is_file()), None)


def replace_trunk(state: MutableMapping[str, Tensor], prefix: str, identity: TrunkId) -> None:
    """Take the trunk of the backbone at ``prefix`` ('backbone.') out of a state dict, and say which one it was."""
    for key in [key for key in state if key.startswith(f'{prefix}trunk.')]:
        del state[key]
    state[f'{prefix}{KEY}'] = identity.as_tensor()


def find_trunk(state: Mapping[str, Tensor]) -> tuple[str, TrunkId | None]:
    """Where a state dict has its DAGAViT: the prefix of its keys, and what it says of a trunk that it lacks.

    Raises:
        ValueError: It has none, or several.
    """
    whole = {key[: key.index('trunk.model.')] for key in state if 'trunk.model.' in key}
    named = {key.removesuffix(KEY) for key in state if key.rpartition('.')[2] == KEY}
    if len(whole | named) != 1:
        raise ValueError('the checkpoint is none of a model with one DAGAViT')
    (prefix,) = whole | named
    return prefix, TrunkId.from_tensor(state[prefix + KEY]) if named else None
