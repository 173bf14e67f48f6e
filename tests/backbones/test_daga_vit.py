import shutil

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from daga_mm.backbones import DAGAViT, trunk
from daga_mm.layers import class_attention, normalize_map

from ..conftest import TINY


def frozen_twin(model: DAGAViT, **kwargs) -> DAGAViT:
    """The plain trunk with the same weights."""
    twin = DAGAViT(TINY, daga_layers=(), out_indices=model.out_indices, **kwargs).eval()
    twin.trunk.load_state_dict(model.trunk.state_dict())
    return twin


# -- the promises -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize('guidance', [{'source': 'frozen'}, {'scale': 0.5}, {'source': 'inline'}, {'layer': 1}])
@pytest.mark.parametrize('gate', ['channel', 'token', 'heads'])
def test_identity_at_the_start_bit_for_bit(tiny, images, guidance, gate):
    model = tiny(fresh=True, guidance=guidance, daga_cfg=dict(gate=gate))
    for ours, frozen in zip(model(images), frozen_twin(model)(images), strict=True):
        assert torch.equal(ours, frozen)


def test_frozen_stays_frozen_through_training_steps(tiny, images):
    model = tiny(fresh=True)
    before = {name: value.clone() for name, value in model.trunk.state_dict().items()}
    model.train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.1, weight_decay=0.5)
    for _ in range(2):
        optimizer.zero_grad()
        sum(out.pow(2).mean() for out in model(images)).backward()
        optimizer.step()
    assert not model.trunk.training
    assert all(not p.requires_grad and p.grad is None for p in model.trunk.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.trunk.state_dict().items())
    assert not torch.equal(model(images)[-1], frozen_twin(model)(images)[-1])


@pytest.mark.parametrize('frozen', [True, False])
@pytest.mark.parametrize('out_type', ['featmap', 'cls_token', 'cls_avg'])
@pytest.mark.parametrize('guidance', [{'source': 'frozen'}, {'source': 'inline'}])
def test_every_trainable_parameter_gets_a_gradient(tiny, images, frozen, out_type, guidance):
    """Without that DDP would wait, or need find_unused_parameters. Blocks behind the last output included."""
    model = tiny(frozen=frozen, out_type=out_type, guidance=guidance, daga_layers=(0, 1), out_indices=(2,)).train()
    sum((out * torch.randn_like(out)).sum() for out in model(images)).backward()
    trainable = {name: p for name, p in model.named_parameters() if p.requires_grad}
    assert [name for name, p in trainable.items() if p.grad is None or not p.grad.abs().sum() > 0] == []
    assert any(name.startswith('trunk.') for name in trainable) != frozen


def test_train_returns_self_and_leaves_a_frozen_trunk_in_eval_mode(tiny):
    model = tiny()
    assert model.train() is model
    assert model.training and model.adapters.training
    assert not any(module.training for module in model.trunk.modules())
    assert tiny(frozen=False).train().trunk.model.blocks.training


def test_full_fine_tuning_does_not_rescale_positions_at_random(tiny, images):
    model = tiny(arch=TINY | dict(rope_rescale_coords=2.0), frozen=False).train()
    assert model.trunk.model.rope.aug_active
    assert torch.equal(model(images)[-1], model(images)[-1])


def test_drop_path_is_at_work_in_a_trunk_in_training_and_nowhere_else(tiny, images):
    arch = TINY | dict(drop_path_rate=0.5)
    frozen = tiny(arch=arch).train()
    assert all(torch.equal(a, b) for a, b in zip(frozen(images), tiny()(images), strict=True))
    full = tiny(arch=arch, frozen=False).train()
    assert not torch.equal(full(images)[-1], full(images)[-1])
    full.eval()
    assert all(torch.equal(a, b) for a, b in zip(full(images), tiny()(images), strict=True))


@pytest.mark.parametrize('gate', ['channel', 'token', 'heads'])
@pytest.mark.parametrize('source', ['inline', 'frozen'])
def test_a_model_of_half_precision_runs(tiny, images, gate, source):
    model = tiny(daga_cfg=dict(gate=gate), guidance=dict(source=source))
    expected = model(images)[-1]
    found = model.bfloat16()(images.bfloat16())[-1]
    assert found.dtype == torch.bfloat16
    assert (found.float() - expected).abs().mean() < 0.05 * expected.abs().mean()


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


@pytest.mark.parametrize('layer', [0, 1, 3, -1])
def test_guidance_map_is_the_row_of_the_full_matrix(tiny, images, layer):
    model = tiny(guidance=dict(layer=layer))
    expected = full_attention_map(model, images, layer)
    assert expected.std() > 1e-4, 'a flat map would prove nothing'
    torch.testing.assert_close(model.guidance_map(images, normalize=False), expected)
    torch.testing.assert_close(model.guidance_map(images), normalize_map(expected), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize('daga_layers', [(0,), (1, 2), (2, 3), (3,)])
@pytest.mark.parametrize('layer', [0, 1, 2, 3])
def test_frozen_guidance_is_the_untouched_trunks_wherever_it_branches_off(tiny, images, daga_layers, layer):
    model = tiny(daga_layers=daga_layers, guidance=dict(layer=layer))
    seen = []
    for encoder in model.adapters['encoders'].values():
        encoder.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    model(images)
    expected = model.guidance_map(images)
    assert len(seen) == len(daga_layers)
    for guidance in seen:
        torch.testing.assert_close(guidance, expected, atol=1e-5, rtol=1e-5)


def test_frozen_guidance_runs_no_block_twice_that_it_can_share(tiny, images):
    runs = []
    frozen = dict(source='frozen')
    model = tiny(daga_layers=(2, 3), guidance=frozen)
    for index, block in enumerate(model.trunk.model.blocks):
        block.register_forward_hook(lambda *_, i=index: runs.append(i))
    model(images)
    assert runs == [0, 1, 2, 3]  # the last guidance block computes its row alone
    runs.clear()
    first = tiny(daga_layers=(0,), guidance=frozen)
    for index, block in enumerate(first.trunk.model.blocks):
        block.register_forward_hook(lambda *_, i=index: runs.append(i))
    first(images)
    assert sorted(runs) == [0, 1, 1, 2, 2, 3]


def test_inline_guidance_is_the_adapted_streams_own_row(tiny, images):
    model = tiny(daga_layers=(0, 3), guidance=dict(source='inline'))
    seen, entering = {}, {}
    for layer, encoder in model.adapters['encoders'].items():
        encoder.register_forward_pre_hook(lambda _, args, i=layer: seen.update({i: args[0]}))
    for index in (0, 3):
        model.trunk.model.blocks[index].register_forward_pre_hook(
            lambda _, args, i=index: entering.update({i: args[0]})
        )
    model(images)
    _, positions = model.trunk.embed(images)
    for index in (0, 3):
        row = model.trunk.class_attention(index, entering[index], positions).mean(dim=1)
        expected = normalize_map(row[:, model.trunk.num_prefix_tokens :].unflatten(1, (4, 6)))
        torch.testing.assert_close(seen[str(index)], expected)
    untouched = model.guidance_map(images)
    assert not torch.allclose(seen['3'], untouched, atol=1e-3), 'block 3 reads an adapted stream'


def test_guidance_is_inline_unless_it_is_asked_for(tiny):
    assert tiny().guidance_source == 'inline'
    assert [tiny(guidance=g).guidance_source for g in ({'layer': 1}, {'scale': 0.5})] == ['frozen', 'frozen']


def test_scale_runs_guidance_on_a_smaller_image(tiny, images):
    model = tiny(guidance=dict(scale=0.5))
    seen = []
    for encoder in model.adapters['encoders'].values():
        encoder.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    model(images)
    small = nn.functional.interpolate(images, size=(32, 48), mode='bilinear', antialias=True)
    torch.testing.assert_close(seen[0], model.guidance_map(small), atol=1e-5, rtol=1e-5)
    assert model.guidance_map(images).shape == (2, 4, 6), 'always full resolution'


@pytest.mark.parametrize('guidance', [{'source': 'frozen'}, {'scale': 0.5}, {'source': 'inline'}])
def test_heads_guide_one_by_one(tiny, images, guidance):
    model = tiny(guidance=guidance, daga_cfg=dict(gate='heads'), daga_layers=(0, 1), out_indices=(2,)).train()
    seen = []
    for encoder in model.adapters['encoders'].values():
        encoder.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    sum((out * torch.randn_like(out)).sum() for out in model(images)).backward()
    assert all(p.grad.abs().sum() > 0 for p in model.adapters.parameters())
    assert {tuple(maps.shape) for maps in seen} == {(2, 3, 2, 3) if 'scale' in guidance else (2, 3, 4, 6)}
    assert all(maps.amin() == 0 and maps.amax() == 1 for maps in seen)
    if guidance == {'source': 'frozen'}:
        tokens, positions = model.trunk.embed(images)
        for index in range(3):
            tokens = model.trunk.block(index, tokens, positions)
        rows = model.trunk.class_attention(3, tokens, positions)[..., model.trunk.num_prefix_tokens :]
        torch.testing.assert_close(seen[0], normalize_map(rows.unflatten(2, (4, 6))))
    expected = tiny(guidance=guidance).guidance_map(images)
    torch.testing.assert_close(model.guidance_map(images), expected)  # the mean of heads, whatever guides


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
    model = tiny(frozen=False).train()
    assert not model.guidance_map(images).requires_grad
    seen = []
    for encoder in model.adapters['encoders'].values():
        encoder.register_forward_pre_hook(lambda _, args: seen.append(args[0].requires_grad))
    model(images)
    assert seen == [False] * 3


# -- shapes and options -------------------------------------------------------------------------------------------


@pytest.mark.parametrize('size', [(64, 96), (65, 96), (33, 17), (16, 16), (1, 200)])
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
    classes = tiny(daga_layers=(0, 2), out_type='cls_token')(images)
    pairs = tiny(out_type='cls_avg')(images)
    same_layers = tiny(daga_layers=(0, 2), out_type='cls_avg')(images)
    assert [tuple(x.shape) for x in (maps[0], classes[0], pairs[0])] == [(2, 48, 4, 6), (2, 48), (2, 96)]
    torch.testing.assert_close(pairs[-1][:, 48:], maps[-1].mean(dim=(2, 3)))
    torch.testing.assert_close(same_layers[3][:, :48], classes[3])
    with_image = tiny(with_image=True)(images)
    assert torch.equal(with_image[0], images) and torch.equal(with_image[1], maps[0])


@pytest.mark.parametrize(('arch', 'expected'), [(4, (0, 1, 2, 3)), (12, (2, 5, 8, 11)), (24, (4, 11, 17, 23))])
def test_default_out_indices(arch, expected):
    model = DAGAViT(dict(TINY, depth=arch, embed_dim=12), daga_layers=())
    assert model.out_indices == expected


def test_layers_count_from_the_end_and_all_means_all(tiny):
    assert tiny(daga_layers=(-1, 1, -3)).daga_layers == (1, 3)
    assert tiny(daga_layers='all').daga_layers == (0, 1, 2, 3)
    assert tiny(daga_layers=()).fingerprints()['adapters'] == 'none'


def test_shared_encoder_has_fewer_parameters_and_one_encoder(tiny, images):
    def size(model):
        return sum(p.numel() for p in model.adapters.parameters())

    shared, apart = tiny(daga_cfg=dict(share_encoder=True)), tiny()
    assert len(shared.adapters['encoders']) == 1
    encoder = sum(p.numel() for p in shared.adapters['encoders'].parameters())
    assert size(apart) - size(shared) == 2 * encoder
    assert shared(images)[-1].shape == apart(images)[-1].shape


def test_four_layers_at_768_channels_stay_under_1_2_million_parameters():
    model = DAGAViT('dinov3_vitb16')
    added = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert model.daga_layers == (1, 2, 10, 11)
    assert 1_100_000 < added <= 1_200_000


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        (dict(daga_layers=(4,)), r'\[4\] out of range.*blocks 0 to 3'),
        (dict(daga_layers='last'), 'sequence of block indices or all'),
        (dict(daga_layers=(1, 3), out_indices=(0, 2)), r'block \[3\].*can not influence'),
        (dict(daga_layers=(3,), out_type='cls_token'), r"block \[3\].*out_type='cls_avg'"),
        (dict(out_indices=()), 'out_indices is empty'),
        (dict(out_type='tokens'), "one of 'featmap', 'cls_token', 'cls_avg'"),
        (dict(guidance=dict(source='inline', layer=2)), 'no layer and no scale'),
        (dict(guidance=dict(source='inline', scale=0.5)), 'no layer and no scale'),
        (dict(guidance=dict(scale=2)), r'in \(0, 1\]'),
        (dict(guidance=dict(layer=9)), r'guidance layer: \[9\] out of range'),
        (dict(guidance=dict(block=1)), 'guidance has no block; it takes source, layer, scale'),
        (dict(daga_cfg=dict(dim=1)), 'daga_cfg has no dim; it takes instruction_dim'),
        (dict(daga_cfg=dict(gate='head')), "'channel'"),
        (dict(arch='dinov3_vitb14'), 'Did you mean dinov3_vitb16'),
        (dict(arch='resnet50'), 'plain vision transformers'),
        (dict(arch='vit_base_patch16_siglip_224'), 'no class token'),
        (dict(arch=dict(embed_dim=3)), "under 'name'"),
        (dict(source='hub'), "'timm' or 'dinov3'"),
        (dict(init_cfg=dict(type='Normal')), 'a trunk is loaded'),
    ],
)
def test_bad_arguments_name_the_fault_and_the_cure(kwargs, message):
    with pytest.raises(ValueError, match=message):
        DAGAViT(**({'arch': TINY, 'daga_layers': (0,)} | kwargs))


def test_images_of_a_wrong_shape_are_refused(tiny):
    with pytest.raises(ValueError, match=r'images are \(B, 3, H, W\), not \(1, 1, 64, 64\)'):
        tiny()(torch.zeros(1, 1, 64, 64))


# -- precision, memory, compilation -------------------------------------------------------------------------------


@pytest.mark.parametrize('guidance', [{'source': 'frozen'}, {'source': 'inline'}])
def test_bf16_autocast_trains_and_stays_close(tiny, images, guidance):
    model = tiny(guidance=guidance).train()
    exact = model(images)[-1]
    with torch.autocast('cpu', dtype=torch.bfloat16):
        half = model(images)[-1]
        half.float().pow(2).mean().backward()
    assert (half.float() - exact).abs().mean() < 0.05 * exact.abs().mean()
    assert all(torch.isfinite(p.grad).all() for p in model.adapters.parameters())


@pytest.mark.parametrize('guidance', [{'source': 'frozen'}, {'source': 'inline'}])
def test_under_autocast_maps_are_float32_products_of_the_projections(tiny, images, guidance, monkeypatch):
    asked, seen = [], []

    def attend(query, key, scale):
        asked.append((query, key, scale))
        return class_attention(query, key, scale)

    monkeypatch.setattr(trunk, 'class_attention', attend)
    model = tiny(guidance=guidance)
    for encoder in model.adapters['encoders'].values():
        encoder.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    with torch.no_grad(), torch.autocast('cpu', dtype=torch.bfloat16):
        model(images)
    assert len(seen) == 3 and len(asked) == (3 if guidance['source'] == 'inline' else 1)
    for (query, key, scale), given in zip(asked if len(asked) == 3 else 3 * asked, seen, strict=True):
        assert query.dtype == key.dtype == torch.bfloat16
        row = (query.float() @ key.float().mT * scale).softmax(dim=-1).squeeze(-2).mean(dim=1)
        expected = normalize_map(row[:, model.trunk.num_prefix_tokens :].unflatten(1, (4, 6)))
        assert given.dtype == torch.float32
        torch.testing.assert_close(given, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize('frozen', [True, False])
def test_recomputation_changes_no_gradient(tiny, images, frozen):
    gradients = []
    for with_cp in (False, True):
        # Drop path, where a trunk trains, has to drop the same blocks again.
        model = tiny(with_cp=with_cp, frozen=frozen, arch=TINY | dict(drop_path_rate=0.5)).train()
        torch.manual_seed(3)
        outputs = model(images)
        # Not the squares: behind a norm their mean is 1, whatever came in, and no gradient would be left to compare.
        torch.stack(outputs).backward(torch.randn(4, *outputs[0].shape, generator=torch.Generator().manual_seed(4)))
        gradients.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradient, gradients[1][name], msg=name)


WITH_COMPILER = pytest.mark.skipif(
    not (shutil.which('g++') or torch.cuda.is_available()), reason='on the CPU torch.compile needs g++'
)


# The first finds what can not be put into one graph.
@pytest.mark.parametrize('backend', ['aot_eager', pytest.param('inductor', marks=[pytest.mark.slow, WITH_COMPILER])])
def test_compiled_forward_equals_eager(tiny, images, backend):
    model = tiny()
    compiled = torch.compile(model, fullgraph=True, backend=backend)
    with torch.no_grad():
        for ours, eager in zip(compiled(images), model(images), strict=True):
            torch.testing.assert_close(ours, eager, atol=1e-4, rtol=1e-4)


def test_layer_depth_orders_the_embedding_the_blocks_and_the_rest(tiny):
    model = tiny()
    depths = {name: model.get_layer_depth(f'backbone.{name}', 'backbone.')[0] for name, _ in model.named_parameters()}
    assert depths['trunk.model.cls_token'] == depths['trunk.model.patch_embed.proj.weight'] == 0
    assert depths['trunk.model.blocks.3.attn.qkv.weight'] == 4
    assert depths['trunk.model.norm.weight'] == 5
    assert {depth for name, depth in depths.items() if name.startswith('adapters.')} == {5}
    assert model.get_layer_depth('trunk.model.norm.weight')[1] == 6
