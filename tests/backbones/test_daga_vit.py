import re

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from daga_mm.backbones import DAGAViT, trunk
from daga_mm.layers import class_attention, normalize_map

from ..conftest import TINY, daga

# -- frozen and trained trunks ------------------------------------------------------------------------------------


def test_train_returns_self_and_leaves_a_frozen_trunk_in_eval_mode(tiny):
    model = tiny()
    assert model.train() is model
    assert model.training and model.adapters.training
    assert not any(module.training for module in model.trunk.modules())
    assert tiny(adapter=None, frozen=False).train().trunk.model.blocks.training


def test_full_fine_tuning_does_not_rescale_positions_at_random(tiny, images):
    model = tiny(arch=TINY | dict(rope_rescale_coords=2.0), adapter=None, frozen=False).train()
    assert model.trunk.model.rope.aug_active
    assert torch.equal(model(images)[-1], model(images)[-1])


def test_drop_path_is_at_work_in_a_trunk_in_training_and_nowhere_else(tiny, images):
    arch = TINY | dict(drop_path_rate=0.5)
    frozen = tiny(arch=arch).train()
    assert all(torch.equal(a, b) for a, b in zip(frozen(images), tiny()(images), strict=True))
    full = tiny(arch=arch, adapter=None, frozen=False).train()
    assert not torch.equal(full(images)[-1], full(images)[-1])
    full.eval()
    assert all(torch.equal(a, b) for a, b in zip(full(images), tiny(adapter=None)(images), strict=True))


@pytest.mark.parametrize('out_type', ['featmap', 'cls_token', 'cls_avg'])
def test_full_fine_tuning_gives_every_parameter_that_counts_a_gradient(tiny, images, out_type):
    model = tiny(adapter=None, frozen=False, out_type=out_type, out_indices=(2,)).train()
    sum((out * torch.randn_like(out)).sum() for out in model(images)).backward()
    assert [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None] == []
    assert not model.trunk.model.blocks[3].norm1.weight.requires_grad, 'the block after the last output'


def test_recomputation_drops_the_same_paths_again(tiny, images):
    found = []
    for with_cp in (False, True):
        model = tiny(adapter=None, frozen=False, with_cp=with_cp, arch=TINY | dict(drop_path_rate=0.5)).train()
        torch.manual_seed(3)
        outputs = model(images)
        torch.stack(outputs).backward(torch.randn(4, *outputs[0].shape, generator=torch.Generator().manual_seed(4)))
        found.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
    for name, gradient in found[0].items():
        torch.testing.assert_close(gradient, found[1][name], msg=name)


# -- guidance -----------------------------------------------------------------------------------------------------


def full_attention_map(model: DAGAViT, images: torch.Tensor, layer: int) -> torch.Tensor:
    """The plain way: the whole N×N matrix of one block of the untouched trunk, caught where timm computes it."""
    caught = {}
    attn = model.trunk.model.blocks[layer].attn
    attn.fused_attn = False
    hook = attn.attn_drop.register_forward_pre_hook(lambda _, args: caught.update(matrix=args[0]))
    model.trunk.model.forward_features(images)
    hook.remove()
    attn.fused_attn = True
    row = caught['matrix'].mean(dim=1)[:, 0, model.trunk.num_prefix_tokens :]
    return row.unflatten(1, (images.shape[2] // 16, images.shape[3] // 16))


def watch(model: DAGAViT) -> list[torch.Tensor]:
    """The maps that DAGA's encoders get in the forward passes to come."""
    seen = []
    for encoder in model.adapters['daga'].encoders.values():
        encoder.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    return seen


@pytest.mark.parametrize('layer', [0, 1, 3, -1])
def test_guidance_map_is_the_row_of_the_full_matrix(tiny, images, layer):
    model = tiny(adapter=daga(guidance=dict(layer=layer)))
    expected = full_attention_map(model, images, layer)
    assert expected.std() > 1e-4, 'a flat map would prove nothing'
    torch.testing.assert_close(model.guidance_map(images, normalize=False), expected)
    torch.testing.assert_close(model.guidance_map(images), normalize_map(expected), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize('layers', [(0,), (1, 2), (2, 3), (3,)])
@pytest.mark.parametrize('layer', [0, 1, 2, 3])
def test_frozen_guidance_is_the_untouched_trunks_wherever_it_branches_off(tiny, images, layers, layer):
    model = tiny(adapter=daga(layers, guidance=dict(layer=layer)))
    seen = watch(model)
    model(images)
    expected = model.guidance_map(images)
    assert len(seen) == len(layers)
    for guidance in seen:
        torch.testing.assert_close(guidance, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(('layers', 'runs'), [((2, 3), [0, 1, 2, 3]), ((0,), [0, 1, 1, 2, 2, 3])])
def test_frozen_guidance_runs_no_block_twice_that_it_can_share(tiny, images, layers, runs):
    """Of the guidance's own block the attention alone is run again."""
    found = []
    model = tiny(adapter=daga(layers, guidance=dict(layer=-1)))
    for index, block in enumerate(model.trunk.model.blocks):
        block.register_forward_hook(lambda *_, i=index: found.append(i))
    model(images)
    assert sorted(found) == runs


@pytest.mark.parametrize('adapter', ['daga', ['daga', 'lora'], ['daga', 'mona', 'bitfit']], ids=str)
def test_inline_guidance_is_the_attention_that_the_block_really_had(tiny, images, adapter):
    """Other adapters included: timm's own matrix, caught where it multiplies by it."""
    model = tiny(adapter=adapter)
    seen, matrices = watch(model), {}
    for index, block in enumerate(model.trunk.model.blocks):
        block.attn.fused_attn = False
        block.attn.attn_drop.register_forward_pre_hook(lambda _, args, i=index: matrices.update({i: args[0]}))
    model(images)
    for layer, used in zip(model.adapters['daga'].layers, seen, strict=True):
        row = matrices[layer].mean(dim=1)[:, 0, model.trunk.num_prefix_tokens :].unflatten(1, (4, 6))
        torch.testing.assert_close(used, normalize_map(row), atol=1e-4, rtol=1e-4)
    assert not torch.allclose(seen[-1], model.guidance_map(images), atol=1e-3), 'the last block reads adapted tokens'


def test_scale_runs_guidance_on_a_smaller_image(tiny, images):
    model = tiny(adapter=daga(guidance=dict(scale=0.5)))
    seen = watch(model)
    model(images)
    small = nn.functional.interpolate(images, size=(32, 48), mode='bilinear', antialias=True)
    torch.testing.assert_close(seen[0], model.guidance_map(small), atol=1e-5, rtol=1e-5)
    assert model.guidance_map(images).shape == (2, 4, 6), 'always full resolution'


@pytest.mark.parametrize('guidance', ['inline', dict(layer=-1), dict(scale=0.5)], ids=str)
def test_heads_guide_one_by_one(tiny, images, guidance):
    model = tiny(adapter=daga((0, 1), gate='heads', guidance=guidance), out_indices=(2,))
    seen = watch(model)
    model(images)
    assert {tuple(maps.shape) for maps in seen} == {(2, 3, 2, 3) if 'scale' in guidance else (2, 3, 4, 6)}
    assert all(maps.amin() == 0 and maps.amax() == 1 for maps in seen)
    expected = tiny(adapter=daga(guidance=guidance)).guidance_map(images)
    torch.testing.assert_close(model.guidance_map(images), expected)  # the mean of heads, whatever guides


def test_guidance_beside_adapters_that_change_blocks_is_inline(tiny):
    with pytest.raises(ValueError, match="lora .*guidance='inline'"):
        tiny(adapter=[daga(guidance=dict(layer=-1)), 'lora'])


class LargestTensor(TorchDispatchMode):
    """The number of elements of the largest tensor that any operation returns."""

    elements = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor):
                self.elements = max(self.elements, leaf.numel())
        return result


def test_guidance_forms_no_square_matrix(tiny):
    model = tiny()
    tokens = 64 * 64 + 5
    with LargestTensor() as largest:
        model.guidance_map(torch.zeros(1, 3, 1024, 1024))
    assert largest.elements < tokens**2 / 4


def test_guidance_gets_no_gradient(tiny, images):
    model = tiny(adapter=['daga', 'lora']).train()
    assert not model.guidance_map(images).requires_grad
    seen = watch(model)
    model(images)
    assert [guidance.requires_grad for guidance in seen] == [False] * 3, 'layers 1, 2 and 3'


# -- shapes and options -------------------------------------------------------------------------------------------


@pytest.mark.parametrize('size', [(64, 96), (65, 96), (33, 17), (16, 16), (1, 10_000)])
def test_any_size_is_padded_right_and_bottom(tiny, size):
    model = tiny(out_indices=(1, 3))
    grid = (-(-size[0] // 16), -(-size[1] // 16))
    images = torch.randn(1, 3, *size)
    outputs = model(images)
    assert [out.shape for out in outputs] == [(1, 48, *grid)] * 2
    assert model.guidance_map(images).shape == (1, *grid)
    padded = torch.zeros(1, 3, grid[0] * 16, grid[1] * 16)
    padded[:, :, : size[0], : size[1]] = images
    assert torch.equal(model(padded)[-1], outputs[-1])


def test_out_types_and_image(tiny, images):
    maps = tiny()(images)
    classes = tiny(adapter=daga((0, 2)), out_type='cls_token')(images)
    pairs = tiny(out_type='cls_avg')(images)
    same_layers = tiny(adapter=daga((0, 2)), out_type='cls_avg')(images)
    assert [tuple(x.shape) for x in (maps[0], classes[0], pairs[0])] == [(2, 48, 4, 6), (2, 48), (2, 96)]
    torch.testing.assert_close(pairs[-1][:, 48:], maps[-1].mean(dim=(2, 3)))
    torch.testing.assert_close(same_layers[3][:, :48], classes[3])
    with_image = tiny(with_image=True)(images)
    assert torch.equal(with_image[0], images) and torch.equal(with_image[1], maps[0])


@pytest.mark.parametrize(('arch', 'expected'), [(4, (0, 1, 2, 3)), (12, (2, 5, 8, 11)), (24, (4, 11, 17, 23))])
def test_default_out_indices(arch, expected):
    model = DAGAViT(dict(TINY, depth=arch, embed_dim=12), adapter=None)
    assert model.out_indices == expected


def test_layers_count_from_the_end_and_all_means_all(tiny):
    def layers(*args, **kwargs):
        return tiny(adapter=daga(*args), **kwargs).adapters['daga'].layers

    assert layers((-1, 1, -3)) == (1, 3)
    assert layers('all') == (0, 1, 2, 3)
    assert layers('all', out_indices=(2,)) == (0, 1, 2), 'the blocks that run'
    assert layers('all', out_type='cls_token') == (0, 1, 2), 'the class token feels it from the next block on'
    assert tiny(adapter=None).fingerprints()['adapters'] == 'none'


def test_shared_encoder_has_fewer_parameters_and_one_encoder(tiny, images):
    def size(model):
        return sum(p.numel() for p in model.adapters.parameters())

    shared, apart = tiny(adapter=daga(share_encoder=True)), tiny()
    assert len(shared.adapters['daga'].encoders) == 1
    encoder = sum(p.numel() for p in shared.adapters['daga'].encoders.parameters())
    assert size(apart) - size(shared) == 2 * encoder
    assert shared(images)[-1].shape == apart(images)[-1].shape


def test_four_layers_at_768_channels_stay_under_1_2_million_parameters():
    model = DAGAViT('dinov3_vitb16')
    added = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert model.adapters['daga'].layers == (1, 2, 10, 11)
    assert 1_100_000 < added <= 1_200_000


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        (dict(adapter=daga((4,))), r'layers: \[4\] out of range.*blocks 0 to 3'),
        (dict(adapter=daga('last')), "layers is 'last', expected block indices"),
        (dict(adapter=daga(())), 'DAGA has no layers; adapter=None'),
        (dict(adapter=daga((1, 3)), out_indices=(0, 2)), r'DAGA at blocks \[3\].*cannot influence'),
        (dict(adapter=daga((3,)), out_type='cls_token'), r"DAGA at blocks \[3\].*out_type='cls_avg'"),
        (dict(adapter=dict(type='LoRA', layers=(3,)), out_indices=(2,)), r'LoRA at blocks \[3\].*cannot influence'),
        (dict(adapter=dict(type='LastBlocks', count=5)), 'count is 5, expected 1 to 4'),
        (dict(adapter=daga(guidance=dict(scale=2))), 'guidance scale is 2.0'),
        (dict(adapter=daga(guidance=dict(scale=0))), 'guidance scale is 0.0'),
        (dict(adapter=daga(guidance=dict(layer=9))), r'guidance layer: \[9\] out of range'),
        (dict(adapter=daga(guidance=dict(block=1))), "expected 'inline' or dict"),
        (dict(adapter=daga(gate='head')), "gate is 'head', expected 'channel'"),
        (dict(adapter='lroa'), r"unknown adapter 'lroa', expected adaptformer, .*Did you mean lora\?"),
        (dict(adapter=dict(layers=(1,))), 'unknown adapter None'),
        (dict(adapter=['lora', 'LoRA']), 'adapter has lora twice'),
        (
            dict(adapter=dict(type='LoRA', gate='heads')),
            "LoRA has no option 'gate', which is one of DAGA. It takes rank",
        ),
        (dict(adapter=dict(type='LoRA', rnak=2)), "did you mean 'rank'"),
        (dict(frozen=False), 'without an adapter: set adapter=None, not'),
        (dict(out_indices=()), 'out_indices is empty'),
        (dict(out_indices=(-5,)), r'out_indices: \[-5\] out of range'),
        (dict(out_type='tokens'), "expected one of 'featmap', 'cls_token', 'cls_avg'"),
        (dict(out_type='cls_avg', adapter=None, arch='vit_base_patch16_siglip_224'), 'no class token for out_type'),
        (dict(arch=TINY | dict(patch_drop_rate=0.5)), 'patch_drop_rate drops patches at random'),
        (dict(arch='dinov3_vitb14'), 'Did you mean dinov3_vitb16'),
        (dict(arch='resnet50'), 'resnet50 is not a plain vision transformer'),
        (dict(arch='vit_base_patch16_siglip_224'), 'no class token, so there is no class-to-patch attention'),
        (dict(arch=dict(embed_dim=3)), "under 'name'"),
        (dict(source='hub'), "source is 'hub', expected one of 'dinov3', 'timm'"),
        (dict(init_cfg=dict(type='Normal')), r"expected dict\(type='Pretrained', checkpoint=PATH\)"),
    ],
)
def test_bad_arguments_name_the_fault_and_the_cure(kwargs, message):
    with pytest.raises(ValueError, match=message):
        DAGAViT(**({'arch': TINY, 'adapter': daga((0,))} | kwargs))


@pytest.mark.parametrize('shape', [(1, 1, 64, 64), (3, 32, 32), (1, 3, 0, 32), (0, 3, 32, 32)])
def test_images_of_a_wrong_shape_are_refused(tiny, shape):
    with pytest.raises(ValueError, match=rf'{re.escape(str(shape))}, expected \(B, 3, H, W\)'):
        tiny()(torch.zeros(shape))


# -- precision and rates -------------------------------------------------------------------------------


@pytest.mark.parametrize('guidance', ['inline', dict(layer=-1)], ids=str)
def test_under_autocast_maps_are_float32_products_of_the_projections(tiny, images, guidance, monkeypatch):
    asked = []

    def attend(query, key, scale):
        asked.append((query, key, scale))
        return class_attention(query, key, scale)

    monkeypatch.setattr(trunk, 'class_attention', attend)
    model = tiny(adapter=daga(guidance=guidance))
    seen = watch(model)
    with torch.no_grad(), torch.autocast('cpu', dtype=torch.bfloat16):
        model(images)
    assert len(seen) == 3 and len(asked) == (3 if guidance == 'inline' else 1)
    for (query, key, scale), given in zip(asked if len(asked) == 3 else 3 * asked, seen, strict=True):
        assert key.dtype == torch.bfloat16
        row = ((query.float() * key.float()).sum(dim=-1) * scale).softmax(dim=-1).mean(dim=1)
        expected = normalize_map(row[:, model.trunk.num_prefix_tokens :].unflatten(1, (4, 6)))
        assert given.dtype == torch.float32
        torch.testing.assert_close(given, expected, atol=1e-5, rtol=1e-5)


def test_layer_depth_orders_the_embedding_the_blocks_and_the_rest(tiny):
    model = tiny()
    depths = {name: model.get_layer_depth(f'backbone.{name}', 'backbone.')[0] for name, _ in model.named_parameters()}
    assert depths['trunk.model.cls_token'] == depths['trunk.model.patch_embed.proj.weight'] == 0
    assert depths['trunk.model.blocks.3.attn.qkv.weight'] == 4
    assert depths['trunk.model.norm.weight'] == 5
    assert {depth for name, depth in depths.items() if name.startswith('adapters.')} == {5}
    assert model.get_layer_depth('trunk.model.norm.weight')[1] == 6
