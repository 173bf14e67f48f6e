"""A trunk stored in bfloat16: the results of bfloat16 autocast in half the memory."""

import pytest
import torch

from daga_mm.backbones import DAGAViT, build_trunk

from ..conftest import TINY, spread_out, train_adapters, write_trunk

DINOV2 = dict(name='vit_small_patch14_dinov2', img_size=56, embed_dim=48, depth=4, num_heads=3)
HALF = dict(trunk_dtype='bfloat16')


def pair(arch: dict, adapter) -> tuple[DAGAViT, DAGAViT]:
    """The same weights stored in float32 and in bfloat16."""
    models = []
    for options in ({}, HALF):
        torch.manual_seed(0)
        model = DAGAViT(arch, adapter=adapter, **options)
        models.append(model.eval())
    spread_out(models[0].trunk)
    models[1].trunk.load_state_dict(models[0].trunk.state_dict())
    train_adapters(models[0])
    models[1].adapters.load_state_dict(models[0].adapters.state_dict())
    return models[0], models[1]


@pytest.mark.parametrize('arch', [TINY, DINOV2], ids=['DINOv3', 'DINOv2'])
@pytest.mark.parametrize('adapter', ['daga', 'lora', 'adaptformer', 'mona', 'bitfit', None])
def test_equal_to_autocast_bit_for_bit(arch, adapter, images):
    wide, half = pair(arch, adapter)
    with torch.autocast('cpu', torch.bfloat16):
        expected = wide(images)
        within = half(images)
        sum(out.float().square().sum() for out in wide(images)).backward() if adapter else None
    alone = half(images)  # opens its own
    assert all(torch.equal(a, b) and torch.equal(a, c) for a, b, c in zip(expected, within, alone, strict=True))
    if adapter:
        sum(out.float().square().sum() for out in alone).backward()
        gradients = [{n: p.grad for n, p in m.named_parameters() if p.grad is not None} for m in (wide, half)]
        assert gradients[0].keys() == gradients[1].keys()
        assert all(torch.equal(gradient, gradients[1][name]) for name, gradient in gradients[0].items())
    with torch.autocast('cpu', torch.bfloat16):
        assert torch.equal(half.guidance_map(images), wide.guidance_map(images))


def test_only_linear_and_convolution_weights_are_bfloat16():
    trunk = build_trunk(TINY, dtype=torch.bfloat16)
    half = {name for name, value in trunk.state_dict().items() if value.dtype == torch.bfloat16}
    linear = {
        f'{name}.weight'
        for name, module in trunk.named_modules()
        if isinstance(module, torch.nn.Linear | torch.nn.Conv2d)
    }
    assert half == linear
    assert torch.equal(trunk.model.rope.periods, build_trunk(TINY).model.rope.periods)
    assert torch.get_default_dtype() == torch.float32


def test_the_fingerprint_is_that_of_the_file(tmp_path, images):
    pretrained = dict(type='Pretrained', checkpoint=write_trunk(tmp_path / 'trunk.safetensors'))
    models = [DAGAViT(TINY, init_cfg=pretrained, **options) for options in ({}, HALF)]
    for model in models:
        model.init_weights()
    assert models[0].fingerprints()['trunk'] == models[1].fingerprints()['trunk']
    state = models[0].state_dict()
    models[0].finish_state_dict(state)
    models[1].load_state_dict(state)  # trained on the one, used on the other


def test_a_rounded_trunk_is_not_taken_for_an_exact_one(tmp_path):
    pretrained = dict(type='Pretrained', checkpoint=write_trunk(tmp_path / 'trunk.safetensors'))
    model = DAGAViT(TINY, init_cfg=pretrained, **HALF)
    model.init_weights()
    state = model.state_dict()
    model.finish_state_dict(state, trained_only=False)
    DAGAViT(TINY, **HALF).load_state_dict(dict(state))
    with pytest.raises(ValueError, match="trunk_dtype='bfloat16'"):
        DAGAViT(TINY).load_state_dict(state)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(trunk_dtype='float16'), "'float16', expected None, or 'bfloat16'"),
        (dict(HALF, frozen=False, adapter=None), "'bfloat16', expected None, or 'bfloat16' for a frozen trunk"),
        (dict(HALF, adapter='last_blocks'), r'last_blocks trains model\.blocks\.2\.attn\.qkv\.weight'),
    ],
)
def test_what_cannot_be_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        DAGAViT(TINY, **options)


def test_float16_autocast_is_refused(images):
    model = DAGAViT(TINY, **HALF)
    with torch.autocast('cpu', torch.float16), pytest.raises(ValueError, match=r'float16 autocast, expected bfloat16'):
        model(images)
