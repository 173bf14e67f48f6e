"""State dicts of what was trained alone: they find their trunk, and refuse any other."""

import pytest
import torch

from daga_mm.backbones import DAGAViT
from daga_mm.backbones.adapter_only import KEY, TrunkId

from ..conftest import TINY, write_trunk

WITH_DAGA = dict(daga_layers=(0, 2), out_indices=(3,))


def build(path: str | None, **kwargs) -> DAGAViT:
    init_cfg = path and dict(type='Pretrained', checkpoint=path)
    return DAGAViT(**dict(arch=TINY, init_cfg=init_cfg) | WITH_DAGA | kwargs).eval()


@pytest.fixture
def trained(tmp_path):
    """A backbone on a trunk from a file, with DAGA modules that do something, and its adapter-only state dict."""
    torch.manual_seed(0)
    backbone = build(write_trunk(tmp_path / 'trunk.safetensors'))
    backbone.init_weights()
    for parameter in backbone.adapters.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    state = backbone.state_dict()
    backbone.leave_trunk_out(state)
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


def test_what_is_trained_in_the_trunk_is_not_left_out(trained):
    backbone, _ = trained
    backbone.trunk.model.norm.weight.requires_grad_()  # as of LoRA
    state = backbone.state_dict()
    backbone.leave_trunk_out(state)
    assert state.keys() == backbone.state_dict().keys()


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


def test_another_trunk_is_refused_by_name(trained, tmp_path):
    _, state = trained
    other = build(write_trunk(tmp_path / 'other.safetensors', factor=1.1))
    other.init_weights()
    with pytest.raises(
        ValueError, match=r'trained on the trunk dinov3_vits16 from \S+/trunk\.safeten.*has .*other\.safe'
    ):
        other.load_state_dict(state)


def test_without_its_trunk_it_says_which_one_is_missing(trained, tmp_path):
    _, state = trained
    (tmp_path / 'trunk.safetensors').unlink()
    with pytest.raises(
        ValueError, match=r'does not hold the trunk, dinov3_vits16 from \S+/trunk\.safetensors.*init_cfg'
    ):
        build(None).load_state_dict(state)


def test_a_name_that_is_damaged_is_told(trained):
    _, state = trained
    state[KEY] = state[KEY][:10]
    with pytest.raises(ValueError, match='does not say which trunk it belongs to: its trunk_id is damaged'):
        build(None).load_state_dict(state)


def test_such_a_file_is_no_trunk_for_init_cfg(trained, tmp_path):
    _, state = trained
    torch.save(state, tmp_path / 'adapters.pth')
    with pytest.raises(
        ValueError, match=r'adapters\.pth does not hold the trunk.*in init_cfg, and this one in load_from'
    ):
        build(str(tmp_path / 'adapters.pth')).init_weights()


@pytest.mark.parametrize('why', ['it is trained', 'it is in no file'])
def test_a_trunk_that_nobody_could_find_again_stays(why, tmp_path):
    backbone = (
        build(None) if why == 'it is in no file' else build(write_trunk(tmp_path / 'a.safetensors'), frozen=False)
    )
    if why == 'it is trained':
        backbone.init_weights()
    state = backbone.state_dict()
    backbone.leave_trunk_out(state)
    assert state.keys() == backbone.state_dict().keys()
