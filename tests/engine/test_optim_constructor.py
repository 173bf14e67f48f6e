import pytest
import torch
from mmengine.hub import get_config
from mmengine.optim import DefaultOptimWrapperConstructor, build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope
from torch import nn

import daga_mm.compat
import daga_mm.engine  # noqa: F401
from daga_mm.necks import SimpleFPN, ViTAdapterNeck

from ..conftest import TINY, daga

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
    assert 'backbone.adapters.daga.bottlenecks.0.mixing' in spared
    assert 'neck.levels.2.2.weight' in spared and 'neck.levels.2.2.bias' in spared  # a norm
    assert 'backbone.adapters.daga.bottlenecks.0.down.bias' in spared and 'head.bias' in spared
    assert not {'head.weight', 'neck.levels.2.1.weight', 'backbone.adapters.daga.bottlenecks.0.down.weight'} & spared
    full = groups(Model(tiny(adapter=None, frozen=False)))
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


def test_adapters_have_their_own_rate(tiny):
    rates = {name: options['lr'] for name, options in groups(Model(tiny()), adapter_lr_mult=0.5).items()}
    for name, rate in rates.items():
        assert rate == pytest.approx(LR * 0.5 if '.adapters.' in name else LR), name


def test_each_adapter_has_the_rate_and_the_decay_that_suit_it(tiny):
    found = groups(Model(tiny(adapter=['daga', 'lora', 'last_blocks'])), layer_decay_rate=0.5)
    assert found['backbone.adapters.daga.bottlenecks.1.down.weight'] == dict(lr=LR, weight_decay=DECAY)
    assert found['backbone.adapters.lora.updates.0.qkv.up.weight'] == dict(lr=LR, weight_decay=0)
    block = found['backbone.trunk.model.blocks.3.mlp.fc1.weight']
    assert block == dict(lr=pytest.approx(0.1 * LR), weight_decay=DECAY), 'not by layer decay'
    given = groups(Model(tiny(adapter='last_blocks')), adapter_lr_mult=0.3)
    assert given['backbone.trunk.model.blocks.3.norm1.weight']['lr'] == pytest.approx(0.3 * LR)


def test_a_recipe_of_one_adapter_leaves_others_their_own_rate(tiny):
    found = groups(Model(tiny(adapter=['daga', 'last_blocks'])), adapter_lr_mult=dict(daga=0.5))
    assert found['backbone.adapters.daga.bottlenecks.1.down.weight']['lr'] == pytest.approx(0.5 * LR)
    assert found['backbone.trunk.model.blocks.3.norm1.weight']['lr'] == pytest.approx(0.1 * LR)


def test_layer_decay_falls_block_by_block(tiny):
    model = Model(tiny(adapter=None, frozen=False))
    rates = {name: options['lr'] / LR for name, options in groups(model, layer_decay_rate=0.5).items()}
    assert rates['head.weight'] == rates['neck.levels.0.1.weight'] == 1
    assert rates['backbone.trunk.model.norm.weight'] == 1
    assert model.backbone.get_layer_depth('trunk.model.norm_pre.weight') == (0, 6), 'of CLIP, behind the embedding'
    blocks = [rates[f'backbone.trunk.model.blocks.{i}.attn.qkv.weight'] for i in range(4)]
    assert blocks == pytest.approx([0.5**4, 0.5**3, 0.5**2, 0.5])
    assert rates['backbone.trunk.model.patch_embed.proj.weight'] == pytest.approx(0.5**5)


def test_a_bare_backbone_is_a_model_too(tiny):
    assert all('adapters.' in name for name in groups(tiny(), adapter_lr_mult=0.5))


def test_faults_are_named(tiny):
    with pytest.raises(ValueError, match='layer_decay.*layer_decay_rate, adapter_lr_mult, custom_keys'):
        groups(Model(tiny()), layer_decay=0.9)
    with pytest.raises(ValueError, match='nothing to train'):
        groups(tiny(adapter=None))


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


def test_upstreams_options_act_as_they_do_upstream(tiny):
    neck = ViTAdapterNeck(48, conv_inplane=8, num_heads=3)
    keys = {'backbone': dict(lr_mult=0.1, decay_mult=0.5), 'backbone.adapters.daga.bottlenecks.2': dict(lr_mult=0.3)}
    found = groups(
        Model(tiny(), neck), custom_keys=keys, norm_decay_mult=0.25, bias_lr_mult=2.0, dwconv_decay_mult=0.75,
        adapter_lr_mult=10,
    )  # fmt: skip
    for name, options in found.items():
        if name.startswith('backbone.adapters.daga.bottlenecks.2.'):
            expected = (3.0, 1.0)  # the longest key, and nothing of other rules but the factor on adapters
        elif name.startswith('backbone.'):
            expected = (1.0, 0.5)
        else:
            expected = None
        if expected:
            assert (options['lr'] / LR, options['weight_decay'] / DECAY) == pytest.approx(expected), name
    modules = dict(neck.named_modules())
    for name, module in modules.items():
        for key in (key for key, _ in module.named_parameters(recurse=False)):
            options = found[f'neck.{name}.{key}'.replace('..', '.')]
            is_norm = isinstance(module, nn.LayerNorm | nn.modules.batchnorm._BatchNorm)
            is_depthwise = isinstance(module, nn.Conv2d) and module.in_channels == module.groups
            assert options['lr'] == LR * (2 if key == 'bias' and not is_norm else 1)
            if is_norm or is_depthwise:
                assert options['weight_decay'] == DECAY * (0.25 if is_norm else 0.75), name
            elif key == 'bias':
                assert options['weight_decay'] == 0


def test_a_custom_key_may_set_any_option_of_the_optimiser(tiny):
    cfg = dict(
        optimizer=dict(type='AdamW', lr=LR, weight_decay=DECAY),
        constructor='daga_mm.DAGAOptimWrapperConstructor',
        paramwise_cfg=dict(custom_keys={'head': dict(betas=[0.8, 0.9])}),
    )
    model = Model(tiny())
    (group,) = [
        group
        for group in build_optim_wrapper(model, cfg).optimizer.param_groups
        if any(parameter is model.head.weight for parameter in group['params'])
    ]
    assert group['betas'] == [0.8, 0.9] and len(group['params']) == 2


def test_a_shared_parameter_is_in_one_group(tiny):
    model = Model(tiny())
    model.auxiliary = nn.Linear(16, 3)
    model.auxiliary.weight = model.head.weight
    assert 'head.weight' in groups(model) and 'auxiliary.bias' in groups(model)


@pytest.mark.parametrize(
    'recipe', ['mask2former/mask2former_r50_8xb2-lsj-50e_coco.py', 'dino/dino-4scale_r50_8xb2-12e_coco.py']
)
def test_mmdets_recipes_give_the_rates_and_decays_that_they_give_upstream(recipe, tiny):
    """Ours differ in one thing: what has no rule upstream has no decay if it is a bias, a norm or an embedding."""
    config = get_config(f'mmdet::{recipe}')
    config.model.backbone = dict(type='daga_mm.DAGAViT', arch=TINY, adapter=daga(), out_indices=(0, 1, 2, 3))
    init_default_scope('mmdet')
    model = MODELS.build(config.model)
    paramwise = config.optim_wrapper.paramwise_cfg.to_dict()
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    optimizer = DefaultOptimWrapperConstructor(
        dict(optimizer=dict(type='AdamW', lr=LR, weight_decay=DECAY)), paramwise | dict(bypass_duplicate=True)
    )(model).optimizer
    upstream = {names[id(group['params'][0])]: group for group in optimizer.param_groups}
    found = groups(model, **paramwise)
    assert found.keys() == upstream.keys()
    for name, options in found.items():
        assert options['lr'] == upstream[name]['lr'], name
        if options['weight_decay'] != upstream[name]['weight_decay']:
            assert options['weight_decay'] == 0 and not any(key in name for key in paramwise['custom_keys']), name
    spared = {name for name, options in found.items() if options['weight_decay'] == 0}
    tables = {
        name for name in found if any(word in name for word in ('query_emb', 'query_feat', 'level_e', 'label_emb'))
    }
    assert tables <= spared and len(tables) >= 3
    decayed = {name for name in found if dict(model.named_parameters())[name].ndim > 1} - tables
    assert not {name for name in decayed if not name.startswith('backbone')} & spared
