"""Checkpoints of ours without the trunk: they find its file, and say what is missing or damaged."""

import pytest
import torch

from daga_mm.backbones import DAGAViT
from daga_mm.backbones.checkpoints import KEY, TrunkId

from ..conftest import TINY, daga, train_adapters, write_trunk

WITH_DAGA = dict(adapter=daga((0, 2)), out_indices=(3,))


def build(path: str | None, **kwargs) -> DAGAViT:
    init_cfg = path and dict(type='Pretrained', checkpoint=path)
    return DAGAViT(**dict(arch=TINY, init_cfg=init_cfg) | WITH_DAGA | kwargs).eval()


@pytest.fixture
def trained(tmp_path):
    """A backbone on a trunk from a file, with DAGA modules that do something, and its adapter-only state dict."""
    torch.manual_seed(0)
    backbone = build(write_trunk(tmp_path / 'trunk.safetensors'))
    backbone.init_weights()
    train_adapters(backbone)
    state = backbone.state_dict()
    backbone.finish_state_dict(state)
    return backbone, state


@pytest.fixture
def images():
    return torch.randn(1, 3, 32, 48, generator=torch.Generator().manual_seed(2))


def test_the_trunk_is_left_out_and_named(trained, tmp_path):
    backbone, state = trained
    assert not any(key.startswith('trunk.') for key in state)
    name = TrunkId.from_tensor(state[KEY])
    assert (name.arch, name.source) == ('dinov3_vits16', 'timm') and name.file == str(tmp_path / 'trunk.safetensors')
    assert name.fingerprint == backbone.fingerprints()['trunk']


@pytest.mark.parametrize('named', ['by init_cfg', 'by the checkpoint', 'not by init_cfg', 'by DINOV3_CHECKPOINTS'])
def test_it_comes_back_exactly(named, trained, images, tmp_path, monkeypatch):
    backbone, state = trained
    expected = backbone(images)
    path = tmp_path / 'trunk.safetensors'
    if named == 'by DINOV3_CHECKPOINTS':
        (tmp_path / 'elsewhere').mkdir()
        path = path.rename(tmp_path / 'elsewhere/trunk.safetensors')
        monkeypatch.setenv('DINOV3_CHECKPOINTS', str(path.parent))
    again = build({'by init_cfg': str(path), 'not by init_cfg': str(tmp_path / 'gone.pth')}.get(named))
    again.load_state_dict(state)
    assert torch.equal(again(images)[0], expected[0]) and again.fingerprints() == backbone.fingerprints()


def test_without_its_trunk_it_says_which_one_is_missing(trained, tmp_path):
    _, state = trained
    (tmp_path / 'trunk.safetensors').unlink()
    with pytest.raises(ValueError, match=r'dinov3_vits16 from \S+/trunk\.safetensors.*init_cfg'):
        build(None).load_state_dict(state)


def test_a_name_that_is_damaged_is_told(trained):
    _, state = trained
    state[KEY] = state[KEY][:10]
    with pytest.raises(ValueError, match='trunk_id'):
        build(None).load_state_dict(state)


def test_as_init_cfg_without_its_trunk_it_says_which_one_is_missing(trained, tmp_path):
    _, state = trained
    torch.save(state, tmp_path / 'adapters.pth')
    (tmp_path / 'trunk.safetensors').unlink()
    with pytest.raises(ValueError, match=r'adapters\.pth .*dinov3_vits16 .*DINOV3_CHECKPOINTS'):
        build(str(tmp_path / 'adapters.pth')).init_weights()


def test_a_part_of_a_trunk_is_refused(trained):
    backbone, _ = trained
    state = backbone.state_dict()
    del state['trunk.model.norm.weight']
    with pytest.raises(ValueError, match=r'(?s)dinov3_vits16.*missing.*model.norm.weight'):
        build(None).load_state_dict(state)


def test_two_backbones_in_one_checkpoint_are_refused(trained, tmp_path):
    _, state = trained
    both = {f'{name}.{key}': value for name in ('teacher', 'student') for key, value in state.items()}
    torch.save(both, tmp_path / 'both.pth')
    with pytest.raises(ValueError, match=r'student\., teacher\.'):
        build(str(tmp_path / 'both.pth')).init_weights()


@pytest.mark.parametrize('why', ['trained', 'in no file'])
def test_a_trunk_that_could_not_be_found_again_stays(why, tmp_path):
    backbone = (
        build(None)
        if why == 'in no file'
        else build(write_trunk(tmp_path / 'a.safetensors'), adapter=None, frozen=False)
    )
    backbone.init_weights()
    state = backbone.state_dict()
    backbone.finish_state_dict(state)
    assert state.keys() - {KEY} == backbone.state_dict().keys()
    assert (KEY in state) == (why == 'trained'), 'the pretrained trunk is named, never the trained one'
