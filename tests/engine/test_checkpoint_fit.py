"""A checkpoint with other adapters than the model's is refused, and both are named."""

import copy

import pytest
import torch
from torch import nn

from daga_mm.backbones import DAGAViT
from daga_mm.engine import require_fit

from ..conftest import TINY, write_trunk

BOTH = ['daga', 'lora']
CASES = {  # adapters of the checkpoint, of the model, what is said of the checkpoint, the cure
    'another': ('lora', 'daga', 'has the adapter lora; this model has the adapter daga', '--adapter lora'),
    'a further one': (
        BOTH,
        'lora',
        'has the adapters daga, lora; this model has the adapter lora',
        'adapter=daga,lora',
    ),
    'one of two': ('lora', BOTH, 'has the adapter lora; this model has the adapters daga, lora', '--adapter lora'),
    'one for the frozen trunk': ('mona', None, 'has the adapter mona; this model has no adapters', '--adapter mona'),
    'none': (None, 'daga', 'has no adapters; this model has the adapter daga', '--adapter none'),
    'none, in the trunk': (None, 'bitfit', 'has no adapters; this model has the adapter bitfit', '--adapter none'),
    'in the trunk': (
        'bitfit',
        'daga',
        r'has no adapters and 28 parameters of the trunk, which .*bitfit.* train; this model has the adapter daga',
        '--adapter NAME',
    ),
    'in another part of the trunk': (
        'last_blocks',
        'bitfit',
        r'has no adapters and \d+ parameters of the trunk, .*; this model has the adapter bitfit',
        '--adapter NAME',
    ),
    'other layers': (
        dict(type='DAGA', layers=(0,)),
        'daga',
        'has parts of the adapter daga that this model has no place for: adapters.daga',
        'such as layers',
    ),
}


class Classifier(nn.Module):
    def __init__(self, adapter, trunk: str) -> None:
        super().__init__()
        init_cfg = dict(type='Pretrained', checkpoint=trunk)
        self.backbone = DAGAViT(TINY, adapter=copy.deepcopy(adapter), init_cfg=init_cfg)
        self.head = nn.Linear(48, 3)


@pytest.fixture(scope='module')
def trunk(tmp_path_factory):
    return write_trunk(tmp_path_factory.mktemp('trunk') / 'trunk.safetensors')


def save(adapter, trunk, folder) -> str:
    """What `CheckpointHook` writes of a model with this adapter."""
    model = Classifier(adapter, trunk)
    model.backbone.init_weights()
    state = model.state_dict()
    model.backbone.finish_state_dict(state, 'backbone.')
    torch.save({'state_dict': state}, folder / 'model.pth')
    return str(folder / 'model.pth')


@pytest.mark.parametrize('name', CASES)
def test_other_adapters_are_named_with_the_cure(name, trunk, tmp_path):
    theirs, ours, found, cure = CASES[name]
    path = save(theirs, trunk, tmp_path)
    with pytest.raises(ValueError, match=rf'model\.pth {found}.*{cure}'):
        require_fit(Classifier(ours, trunk), path)


@pytest.mark.parametrize('adapter', [None, *BOTH, 'bitfit', 'last_blocks', BOTH, ['mona', 'bitfit']], ids=str)
def test_the_same_adapters_fit(adapter, trunk, tmp_path):
    path = save(adapter, trunk, tmp_path)
    for whole in (True, False):
        require_fit(Classifier(adapter, trunk), path, whole)


@pytest.mark.parametrize(('theirs', 'ours'), [(None, 'daga'), ('daga', None), ('lora', BOTH)], ids=str)
def test_to_train_from_adapters_may_be_absent(theirs, ours, trunk, tmp_path):
    require_fit(Classifier(ours, trunk), save(theirs, trunk, tmp_path), whole=False)


def test_a_checkpoint_of_another_backbone_is_not_blamed_on_adapters(trunk, tmp_path):
    torch.save(
        {'backbone.conv1.weight': torch.zeros(8, 3, 7, 7), 'head.weight': torch.zeros(3, 48)}, tmp_path / 'a.pth'
    )
    with pytest.raises(ValueError, match=r'a\.pth .*missing'):
        require_fit(Classifier('daga', trunk), str(tmp_path / 'a.pth'))
