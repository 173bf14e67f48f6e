"""What every adapter keeps, alone and in a list: one set of tests for all of them."""

import copy
import shutil

import pytest
import torch
from mmengine.model import ExponentialMovingAverage
from torch import nn

from daga_mm.adapters import adapter_names
from daga_mm.backbones import DAGAViT

from ..conftest import TINY, spread_out, train_adapters, write_trunk

ADAPTERS = {
    **{name: name for name in ('daga', 'lora', 'adaptformer', 'mona', 'bitfit', 'last_blocks')},
    'daga token': dict(type='DAGA', gate='token', layers='all'),
    'daga heads': dict(type='DAGA', gate='heads', share_encoder=True),
    'daga frozen guidance': dict(type='DAGA', guidance=dict(layer=-2)),
    'daga half scale': dict(type='DAGA', guidance=dict(scale=0.5)),
    'lora everywhere': dict(type='LoRA', rank=2, alpha=4, targets=('qkv', 'proj', 'fc1', 'fc2'), dropout=0.5),
    'daga + lora': ['daga', 'lora'],
    'mona + bitfit': ['mona', dict(type='BitFit', layers=(1, 2))],
}
TRAIN_THE_TRUNK = ('bitfit', 'last_blocks', 'mona + bitfit')
NEVER_NEW = ('bitfit', 'last_blocks')  # without modules of their own

by_adapter = pytest.mark.parametrize('name', ADAPTERS)


def build(name: str | None, fresh: bool = False, **kwargs) -> DAGAViT:
    torch.manual_seed(0)
    adapter = None if name is None else copy.deepcopy(ADAPTERS[name])
    model = DAGAViT(**{'arch': TINY, 'adapter': adapter} | kwargs)
    spread_out(model.trunk)
    if not fresh:
        train_adapters(model)
    return model.eval()


def loss(outputs: tuple) -> torch.Tensor:
    """Not the squares: behind a norm their mean is 1, whatever came in, and no gradient would be left."""
    generator = torch.Generator().manual_seed(4)
    return sum((out * torch.randn(out.shape, generator=generator)).sum() for out in outputs)


def gradients(model: DAGAViT) -> dict[str, torch.Tensor]:
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def test_every_registered_adapter_is_tested():
    assert set(adapter_names()) <= set(ADAPTERS)


@by_adapter
def test_heads_that_are_built_after_it_start_alike(name):
    torch.manual_seed(0)
    DAGAViT(TINY, adapter=None)
    expected = torch.rand(1)
    torch.manual_seed(0)
    DAGAViT(TINY, adapter=copy.deepcopy(ADAPTERS[name]))
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize('precision', ['float32', 'bfloat16 autocast'])
@by_adapter
def test_it_starts_as_the_identity_bit_for_bit(name, precision, images):
    model, frozen = build(name, fresh=True), build(None)
    for each in (model, frozen):  # random biases, LayerScale of 1: nothing hides a change
        for key, parameter in each.trunk.named_parameters():
            generator = torch.Generator().manual_seed(len(key))
            if key.endswith('bias'):
                nn.init.normal_(parameter, generator=generator)
            elif 'gamma' in key:
                nn.init.ones_(parameter)
    with torch.autocast('cpu', torch.bfloat16, enabled=precision != 'float32'):
        assert all(torch.equal(ours, theirs) for ours, theirs in zip(model(images), frozen(images), strict=True))
    assert name in NEVER_NEW or any(adapter.is_identity() for adapter in model.adapters.values())
    assert not any(adapter.is_identity() for adapter in build(name).adapters.values())


@by_adapter
def test_training_moves_what_is_trained_and_nothing_else(name, images):
    model = build(name, fresh=True).train()
    assert not any(module.training for module in model.trunk.modules())
    before = {key: value.clone() for key, value in model.state_dict().items()}
    trained = {key for key, p in model.named_parameters() if p.requires_grad}
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1, weight_decay=0.1)
    for _ in range(2):  # in the first step what lies before a zero gets no gradient
        optimizer.zero_grad()
        loss(model(images)).backward()
        optimizer.step()
    assert [key for key, p in model.named_parameters() if p.requires_grad and not p.grad.any()] == []
    moved = {key for key, value in model.state_dict().items() if not torch.equal(value, before[key])}
    assert moved == trained
    assert any(key.startswith('trunk.') for key in trained) == (name in TRAIN_THE_TRUNK)
    assert {key.split('.')[1] for key in trained if key.startswith('adapters.')} <= set(model.adapters)


@pytest.mark.parametrize('out_type', ['cls_token', 'cls_avg'])
@by_adapter
def test_every_trained_parameter_gets_a_gradient_for_every_output(name, out_type, images):
    """Without that DDP would wait for them. Blocks after the last output included."""
    adapter = copy.deepcopy(ADAPTERS[name])
    for one in adapter if isinstance(adapter, list) else [adapter]:
        if isinstance(one, dict) and one['type'] == 'DAGA' and one.get('layers') != 'all':
            one['layers'] = (0, 1)
    if adapter == 'daga' or adapter == ['daga', 'lora']:
        adapter = [dict(type='daga', layers=(0, 1)), *(['lora'] if name == 'daga + lora' else [])]
    model = build(None, adapter=adapter, out_type=out_type, out_indices=(2,)).train()
    loss(model(images)).backward()
    assert [key for key, p in model.named_parameters() if p.requires_grad and p.grad is None] == []


@by_adapter
def test_recomputation_changes_no_gradient(name, images):
    """Dropout of an adapter drops the same numbers again; nothing of a forward pass stays on a module."""
    found = []
    for with_cp in (False, True):
        model = build(name, with_cp=with_cp).train()
        torch.manual_seed(3)
        loss(model(images)).backward()
        found.append(gradients(model))
        kept = [
            (key, attribute)
            for key, module in model.named_modules()
            for attribute, value in vars(module).items()
            if isinstance(value, torch.Tensor) or (attribute in ('context', 'taken') and value is not None)
        ]
        assert kept == []
    assert found[0].keys() == found[1].keys()
    for key, gradient in found[0].items():
        torch.testing.assert_close(gradient, found[1][key], msg=key)


@by_adapter
def test_two_sizes_before_one_backward(name, images):
    """Recomputation goes by the grid of its own forward pass, not of the last one."""
    model = build(name, with_cp=True)
    first, second = model(images), model(images[:1, :, :33, :50])
    (loss(first) + loss(second)).backward()
    together = gradients(model)
    model.zero_grad()
    loss(model(images)).backward()
    loss(model(images[:1, :, :33, :50])).backward()
    for key, gradient in gradients(model).items():
        torch.testing.assert_close(together[key], gradient, msg=key)


@by_adapter
def test_odd_sizes_and_a_batch_of_one(name):
    model = build(name)
    for size in ((33, 17), (16, 16), (1, 100)):
        grid = tuple(-(-side // 16) for side in size)
        assert [out.shape for out in model(torch.randn(1, 3, *size))] == [(1, 48, *grid)] * 4


@by_adapter
def test_switched_off_it_is_the_trunk(name, images):
    model = build(name)
    plain = build(None)
    plain.trunk.load_state_dict(model.trunk.state_dict())
    expected, adapted = plain(images), model(images)
    with model.without_adapters():
        off = model(images)
    assert all(torch.equal(a, b) for a, b in zip(off, expected, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(model(images), adapted, strict=True))
    assert name in NEVER_NEW or not torch.equal(adapted[-1], expected[-1])
    layer = dict(type='DAGA', guidance=dict(layer=model.guidance_layer))
    guide = DAGAViT(TINY, adapter=layer).eval()
    guide.trunk.load_state_dict(model.trunk.state_dict())
    assert torch.equal(model.guidance_map(images), guide.guidance_map(images)), 'that of the trunk, as trained'


@by_adapter
def test_copies_and_averages_work_on_their_own_weights(name, images):
    model = build(name)
    expected = model(images)[-1]
    for other in (copy.deepcopy(model), ExponentialMovingAverage(model).module):
        assert torch.equal(other(images)[-1], expected)
        with torch.no_grad():
            for parameter in other.parameters():
                parameter.mul_(1.5)
        assert not torch.equal(other(images)[-1], expected)
    assert torch.equal(model(images)[-1], expected)


@pytest.mark.parametrize('kept', ['trained', 'all'])
@pytest.mark.parametrize('by', ['init_cfg', 'load_state_dict', 'load_state_dict, no init_cfg'])
@by_adapter
def test_a_checkpoint_brings_the_same_model_back(name, by, kept, images, tmp_path):
    pretrained = dict(type='Pretrained', checkpoint=write_trunk(tmp_path / 'trunk.safetensors'))
    model = build(name, fresh=True, init_cfg=pretrained)
    model.init_weights()
    train_adapters(model)
    with torch.no_grad():
        for parameter in (p for p in model.trunk.parameters() if p.requires_grad):
            parameter.add_(0.1)
    expected, state = model(images), model.state_dict()
    model.finish_state_dict(state, trained_only=kept == 'trained')
    trunk = {key for key in state if key.startswith('trunk.')}
    if kept == 'trained':
        assert trunk == {f'trunk.{key}' for key, p in model.trunk.named_parameters() if p.requires_grad}
    else:
        assert trunk == {f'trunk.{key}' for key in model.trunk.state_dict()}
    path = tmp_path / 'checkpoint.pth'
    torch.save({'state_dict': {f'backbone.{key}': value for key, value in state.items()}}, path)
    again = build(name, fresh=True, init_cfg={
        'init_cfg': dict(type='Pretrained', checkpoint=str(path)), 'load_state_dict': pretrained
    }.get(by))  # fmt: skip
    if by == 'init_cfg':
        again.init_weights()
    else:
        again.load_state_dict(dict(state))
    assert all(torch.equal(a, b) for a, b in zip(again(images), expected, strict=True))
    assert again.fingerprints() == model.fingerprints()
    assert again.fingerprints()['adapters'] != 'none'


@pytest.mark.parametrize('name', ['daga', 'lora', 'bitfit'])
def test_another_trunk_is_refused(name, tmp_path):
    path = write_trunk(tmp_path / 'trunk.safetensors')
    model = build(name, fresh=True, init_cfg=dict(type='Pretrained', checkpoint=path))
    model.init_weights()
    state = model.state_dict()
    model.finish_state_dict(state)
    other = write_trunk(tmp_path / 'other.safetensors', factor=1.1)
    wrong = build(name, fresh=True, init_cfg=dict(type='Pretrained', checkpoint=other))
    with pytest.raises(ValueError, match=r'dinov3_vits16 from \S+trunk\.safe.* .*other\.safe'):
        wrong.load_state_dict(state)


WITH_COMPILER = pytest.mark.skipif(
    not (shutil.which('g++') or torch.cuda.is_available()), reason='on the CPU torch.compile needs g++'
)


EVERY_KIND = ('daga', 'lora', 'mona')  # after blocks, in linear layers, with the grid in a block

# aot_eager finds what cannot be put into one graph; a backend that generates code takes a minute each.
COMPILED = [pytest.param(name, 'aot_eager', marks=[] if name in EVERY_KIND else pytest.mark.slow) for name in ADAPTERS]
COMPILED += [pytest.param(name, 'inductor', marks=[pytest.mark.slow, WITH_COMPILER]) for name in EVERY_KIND]


@pytest.mark.parametrize(('name', 'backend'), COMPILED)
def test_it_compiles_into_one_graph(name, backend, images):
    torch.compiler.reset()
    model = build(name)
    compiled = torch.compile(model, fullgraph=True, backend=backend)
    loss(compiled(images)).backward()
    found = gradients(model)
    model.zero_grad()
    loss(model(images)).backward()
    for key, gradient in gradients(model).items():
        torch.testing.assert_close(found[key], gradient, atol=1e-3, rtol=1e-3, msg=key)


@by_adapter
def test_half_precision_and_autocast_stay_close(name, images):
    model = build(name)
    expected = model(images)[-1]
    with torch.autocast('cpu', torch.bfloat16):
        outputs = model(images)
        loss([out.float() for out in outputs]).backward()
    assert all(torch.isfinite(gradient).all() for gradient in gradients(model).values())
    for found in (outputs[-1], copy.deepcopy(model).bfloat16()(images.bfloat16())[-1]):
        assert (found.float() - expected).abs().mean() < 0.05 * expected.abs().mean()


@by_adapter
def test_curves_are_scalars(name):
    for adapter in build(name).adapters.values():
        assert all(value.ndim == 0 and torch.isfinite(value) for value in adapter.curves().values())
