"""Prefixes of images from disk: the same outputs and gradients, and blocks that do not run again."""

import pytest
import torch

from daga_mm.backbones.token_cache import TokenCache

from ..conftest import daga

ADAPTERS = {
    'frozen': None,
    'last': daga((2, 3)),
    'last, frozen guidance': daga((2, 3), guidance=dict(layer=-1)),
    'half scale, heads': daga((1, 3), gate='heads', guidance=dict(scale=0.5)),
    'last blocks': dict(type='LastBlocks', count=1),
    'lora': dict(type='LoRA', layers=(2,)),
}


@pytest.mark.parametrize('adapter', ADAPTERS.values(), ids=ADAPTERS)
def test_outputs_and_gradients_are_the_same_and_blocks_run_once(tiny, images, adapter, tmp_path):
    model, runs = tiny(adapter=adapter), []
    model.trunk.model.blocks[0].register_forward_hook(lambda *_: runs.append(0))

    def results():
        model.zero_grad()
        outputs = model(images)
        if adapter:
            sum((out * torch.arange(out.numel()).view_as(out).cos()).sum() for out in outputs).backward()
        return [out.detach() for out in outputs], [p.grad.clone() for p in model.parameters() if p.grad is not None]

    expected = results()
    model.token_cache = TokenCache(tmp_path)
    uncached = len(runs)
    first = results()
    filled = len(runs)
    second = results()
    assert len(runs) == filled > uncached, 'read, not computed'
    for found in (first, second):
        assert all(torch.equal(a, b) for kind in (0, 1) for a, b in zip(found[kind], expected[kind], strict=True))
    half = model(torch.cat([images.flip(-1)[:1], images[1:]]))  # one new, one known
    model.token_cache = None
    for a, b in zip(half, model(torch.cat([images.flip(-1)[:1], images[1:]])), strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)


def test_what_differs_is_told_apart(tiny, images, tmp_path):
    cache = TokenCache(tmp_path)
    model = tiny(adapter=None)
    identities = {model._prefix_identity('cpu')}
    for other in (
        tiny(adapter=None, out_indices=(3,)),
        tiny(adapter=daga((2,))),
        tiny(adapter=None, out_type='cls_avg'),
    ):
        identities.add(other._prefix_identity('cpu'))
    with torch.autocast('cpu', torch.bfloat16):
        identities.add(model._prefix_identity('cpu'))
    assert len(identities) == 5
    keys = {cache.key(image, 'a') for image in (images[0], images[0].flip(-1), images[0] + 1e-6, images[1])}
    assert len(keys) == 4 and cache.key(images[0], 'b') not in keys
    assert cache.key(images[0].clone(), 'a') in keys


@pytest.mark.parametrize('dtype', ['float32', 'bfloat16', 'float16'])
def test_16_bits_need_half_the_space_and_come_back_in_their_type(dtype, tmp_path):
    cache = TokenCache(tmp_path, dtype)
    value = torch.randn(64, 64)
    cache.save('a' * 32, {'tokens': value})
    (found,) = TokenCache(tmp_path, dtype).load('a' * 32).values()
    assert found.dtype == torch.float32 and torch.equal(found, value.to(getattr(torch, dtype)).float())
    assert cache.bytes == value.numel() * (4 if dtype == 'float32' else 2)


def test_a_full_folder_takes_no_more_and_is_not_an_error(tiny, images, tmp_path):
    model = tiny(adapter=None)
    expected = model(images)
    model.token_cache = TokenCache(tmp_path, max_bytes=1)
    assert all(torch.equal(a, b) for a, b in zip(model(images), expected, strict=True))
    assert not list(tmp_path.rglob('*.safetensors')) and not list(tmp_path.rglob('*.part'))


def test_without_adapters_or_recorded_nothing_is_read(tiny, images, tmp_path):
    model = tiny(adapter=daga((2, 3)))
    with model.without_adapters():
        expected = model(images)
    model.token_cache = TokenCache(tmp_path)
    model(images)
    with model.without_adapters(), model.recorded() as record:
        assert all(torch.equal(a, b) for a, b in zip(model(images), expected, strict=True))
    assert set(record.attention) == {0, 1, 2, 3}
