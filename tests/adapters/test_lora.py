"""LoRA: equal to peft's, on every kind of projection that timm has, and in and out of the weights."""

import peft
import pytest
import torch

from daga_mm.backbones import DAGAViT

from ..conftest import TINY, spread_out, train_adapters

SMALL = dict(embed_dim=48, depth=3, num_heads=3)
FUSED = dict(name='vit_small_patch14_dinov2', img_size=56) | SMALL
ARCHS = {
    'fused, with a bias': FUSED,
    'fused, biases apart': TINY,
    'separate': dict(name='eva02_base_patch14_224', img_size=56) | SMALL,
}


def lora(arch: dict, **options) -> DAGAViT:
    torch.manual_seed(0)
    model = DAGAViT(arch, adapter=dict(type='LoRA', **options))
    spread_out(model.trunk)
    train_adapters(model)
    return model.eval()


@pytest.mark.parametrize('arch', ARCHS.values(), ids=ARCHS)
def test_each_target_changes_the_output(arch, images):
    for target in ('qkv', 'proj'):
        model = lora(arch, targets=(target,), rank=2)
        with model.without_adapters():
            plain = model(images)[-1]
        assert not torch.allclose(model(images)[-1], plain, atol=1e-3), target


def test_separate_projections_are_all_adapted():
    model = lora(ARCHS['separate'], targets='qkv')
    assert set(model.adapters['lora'].updates['0']) == {'q_proj', 'k_proj', 'v_proj'}


def test_equal_to_peft(images):
    """On a model whose projections peft reaches."""
    model = lora(FUSED, rank=4, alpha=6)
    with model.without_adapters():
        plain = model(images)
    config = peft.LoraConfig(r=4, lora_alpha=6, target_modules=r'model\.blocks\.\d+\.attn\.(qkv|proj)')
    reference = DAGAViT(FUSED, adapter=None)
    reference.trunk.load_state_dict(model.trunk.state_dict())
    peft.inject_adapter_in_model(config, reference.trunk)
    own = model.adapters['lora'].updates
    for index in range(3):
        for name in ('qkv', 'proj'):
            theirs = getattr(reference.trunk.model.blocks[index].attn, name)
            theirs.lora_A['default'].weight.data = own[str(index)][name]['down'].weight.data
            theirs.lora_B['default'].weight.data = own[str(index)][name]['up'].weight.data
    assert not torch.allclose(plain[-1], model(images)[-1], atol=1e-3)
    for ours, theirs in zip(model(images), reference.eval()(images), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize('arch', ARCHS.values(), ids=ARCHS)
def test_merged_and_unmerged_it_computes_the_same(arch, images):
    model = lora(arch, alpha=4)
    adapter, expected = model.adapters['lora'], model(images)[-1]
    before = {key: value.clone() for key, value in model.trunk.state_dict().items()}
    adapter.merge(model.trunk)
    assert any(not torch.equal(value, before[key]) for key, value in model.trunk.state_dict().items())
    torch.testing.assert_close(model(images)[-1], expected, atol=1e-5, rtol=1e-5)
    with pytest.raises(RuntimeError, match='already merged'):
        adapter.merge(model.trunk)
    with pytest.raises(RuntimeError, match='unmerge'), model.without_adapters():
        pass
    adapter.unmerge(model.trunk)
    torch.testing.assert_close(model(images)[-1], expected, atol=1e-5, rtol=1e-5)
    with pytest.raises(RuntimeError, match='not merged'):
        adapter.unmerge(model.trunk)


def test_it_is_not_merged_into_half_precision():
    model = lora(TINY)
    model.trunk.bfloat16()
    with pytest.raises(ValueError, match=r'bfloat16, expected float32'):
        model.adapters['lora'].merge(model.trunk)


def test_the_called_projection_is_timms_bit_for_bit(images):
    """timm bypasses qkv where the biases are apart; ours is called, with the same result and the same keys."""
    import timm

    torch.manual_seed(0)
    model = DAGAViT(TINY, adapter=None).eval()
    spread_out(model.trunk)
    options = {key: value for key, value in TINY.items() if key != 'name'}
    plain = timm.create_model('vit_small_patch16_dinov3_qkvb', num_classes=0, dynamic_img_size=True, **options).eval()
    state = model.trunk.model.state_dict()
    periods = state.pop('rope.periods')
    assert list(state) == list(plain.state_dict())
    plain.load_state_dict(state)
    plain.rope.periods = periods
    for dtype in (torch.float32, torch.bfloat16):
        with torch.autocast('cpu', torch.bfloat16, enabled=dtype != torch.float32):
            tokens = torch.randn(2, 29, 48)
            rope = plain.rope.get_embed((4, 6))
            ours, theirs = (m.blocks[0].attn(tokens, rope=rope) for m in (model.trunk.model, plain))
        assert torch.equal(ours, theirs)


def test_bad_options_name_the_fault(images):
    for options, message in (
        (dict(targets=('fc3',)), "no 'fc3' in block 0; its linear layers are fc1, fc2, proj, qkv"),
        (dict(targets=('norm1',)), "'norm1' of dinov3_vits16 is a LayerNorm, not a linear layer"),
        (dict(rank=0), 'rank is 0'),
    ):
        with pytest.raises(ValueError, match=message):
            DAGAViT(TINY, adapter=dict(type='LoRA', **options))
