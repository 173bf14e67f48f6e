import pytest
import torch
from mmengine.optim import build_optim_wrapper
from torch import nn

import daga_mm.engine  # noqa: F401
from daga_mm.necks import SimpleFPN, ViTAdapterNeck

LR, DECAY = 1e-3, 0.05


class Model(nn.Module):
    def __init__(self, backbone: nn.Module, neck: nn.Module | None = None) -> None:
        super().__init__()
        self.backbone = backbone
        self.neck = neck or SimpleFPN(48, 16)
        self.head = nn.Linear(16, 3)


def groups(model: nn.Module, **paramwise) -> dict[str, dict]:
    """Name of each parameter -> its learning rate and weight decay in the optimiser."""
    wrapper = build_optim_wrapper(
        model,
        dict(
            type='OptimWrapper',
            optimizer=dict(type='AdamW', lr=LR, weight_decay=DECAY),
            constructor='daga_mm.DAGAOptimWrapperConstructor',
            paramwise_cfg=paramwise or None,
        ),
    )
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    found = [
        (names[id(p)], dict(lr=group['lr'], weight_decay=group['weight_decay']))
        for group in wrapper.optimizer.param_groups
        for p in group['params']
    ]
    assert len(found) == len(dict(found)), 'a parameter is in two groups'
    return dict(found)


def test_frozen_parameters_are_in_no_group_and_all_others_in_one(tiny):
    model = Model(tiny())
    assert set(groups(model)) == {name for name, p in model.named_parameters() if p.requires_grad}
    assert not any(name.startswith('backbone.trunk') for name in groups(model))


def test_no_decay_on_norms_biases_and_mixing_weights(tiny):
    spared = {name for name, options in groups(Model(tiny())).items() if options['weight_decay'] == 0}
    assert 'backbone.adapters.layers.0.mixing' in spared
    assert 'neck.levels.2.2.weight' in spared and 'neck.levels.2.2.bias' in spared  # a norm
    assert 'backbone.adapters.layers.0.down.bias' in spared and 'head.bias' in spared
    assert not {'head.weight', 'neck.levels.2.1.weight', 'backbone.adapters.layers.0.down.weight'} & spared
    full = groups(Model(tiny(daga_layers=(), frozen=False)))
    tokens = ('backbone.trunk.model.cls_token', 'backbone.trunk.model.reg_token')
    assert all(full[name]['weight_decay'] == 0 for name in (*tokens, 'backbone.trunk.model.blocks.0.gamma_1'))
    assert full['backbone.trunk.model.blocks.0.attn.qkv.weight']['weight_decay'] == DECAY


def test_no_decay_on_norms_biases_and_level_embeddings_of_the_adapter_neck(tiny):
    neck = ViTAdapterNeck(48, conv_inplane=8, num_heads=3)
    options = groups(Model(tiny(), neck))
    spared = {name for name, values in options.items() if name.startswith('neck.') and values['weight_decay'] == 0}
    expected = {'neck.level_embed'}  # a table, one row per stride, which is added as a bias is
    for name, module in neck.named_modules():
        own = {f'neck.{name}.{key}' for key, _ in module.named_parameters(recurse=False)}
        is_norm = isinstance(module, nn.LayerNorm | nn.modules.batchnorm._BatchNorm)
        expected |= own if is_norm else {key for key in own if key.endswith('.bias')}
    assert spared == expected
    assert options['neck.extractors.0.attention.sampling_offsets.weight']['weight_decay'] == DECAY
    assert all(values['lr'] == LR for name, values in options.items() if name.startswith('neck.'))


def test_daga_has_its_own_rate(tiny):
    rates = {name: options['lr'] for name, options in groups(Model(tiny()), daga_lr_mult=0.5).items()}
    for name, rate in rates.items():
        assert rate == pytest.approx(LR * 0.5 if '.adapters.' in name else LR), name


def test_layer_decay_falls_block_by_block(tiny):
    model = Model(tiny(daga_layers=(), frozen=False))
    rates = {name: options['lr'] / LR for name, options in groups(model, layer_decay_rate=0.5).items()}
    assert rates['head.weight'] == rates['neck.levels.0.1.weight'] == 1
    assert rates['backbone.trunk.model.norm.weight'] == 1
    assert model.backbone.get_layer_depth('trunk.model.norm_pre.weight') == (0, 6), 'of CLIP, behind the embedding'
    blocks = [rates[f'backbone.trunk.model.blocks.{i}.attn.qkv.weight'] for i in range(4)]
    assert blocks == pytest.approx([0.5**4, 0.5**3, 0.5**2, 0.5])
    assert rates['backbone.trunk.model.patch_embed.proj.weight'] == pytest.approx(0.5**5)


def test_a_bare_backbone_is_a_model_too(tiny):
    assert all('adapters.' in name for name in groups(tiny(), daga_lr_mult=0.5))


def test_faults_are_named(tiny):
    with pytest.raises(ValueError, match=r'no layer_decay; it takes layer_decay_rate, daga_lr_mult'):
        groups(Model(tiny()), layer_decay=0.9)
    with pytest.raises(ValueError, match='nothing to train'):
        groups(tiny(daga_layers=()))


def test_a_step_moves_what_is_trained_and_nothing_else(tiny, images):
    model = tiny().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    wrapper = build_optim_wrapper(
        model,
        dict(
            optimizer=dict(type='AdamW', lr=LR, weight_decay=DECAY),
            constructor='daga_mm.DAGAOptimWrapperConstructor',
        ),
    )
    for _ in range(2):
        wrapper.update_params(sum(x.square().mean() for x in model(images)))
    moved = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == {name for name, p in model.named_parameters() if p.requires_grad}


def test_norms_are_spared_where_the_weight_decay_is_the_optimisers_own(tiny):
    model = Model(tiny())
    cfg = dict(
        type='OptimWrapper', optimizer=dict(type='AdamW', lr=LR), constructor='daga_mm.DAGAOptimWrapperConstructor'
    )
    decays = {group['name']: group['weight_decay'] for group in build_optim_wrapper(model, cfg).optimizer.param_groups}
    assert {name.endswith(', no weight decay') for name in decays} == {True, False}
    assert all((decay == 0) == name.endswith(', no weight decay') for name, decay in decays.items())
