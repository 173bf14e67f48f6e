import importlib.util

import pytest
import torch

from daga_mm.backbones import DAGAViT, build_trunk
from daga_mm.backbones.checkpoints import load_trunk

from ..conftest import TINY, daga, spread_out
from . import standin_dinov3

SMALL = dict(embed_dim=48, depth=3, num_heads=3)
# One of each kind that timm builds: absolute, rotary, mixed positions; with and without registers; pre-norm and
# post-norm; fused and separate qkv; norm behind the pooling; class token without a position.
FAMILIES = {
    'DINOv2': dict(name='vit_small_patch14_dinov2', img_size=56),
    'DINOv2 with registers': dict(name='vit_small_patch14_reg4_dinov2', img_size=56),
    'MAE': dict(name='vit_base_patch16_224', img_size=64),
    'CLIP': dict(name='vit_base_patch16_clip_224', img_size=64),
    'DeiT III': dict(name='deit3_small_patch16_224', img_size=64),
    'EVA-02': dict(name='eva02_tiny_patch14_224', img_size=56),
    'post-norm EVA': dict(name='eva02_enormous_patch14_clip_224', img_size=56),
    'mixed rotary': dict(name='vit_small_patch16_rope_mixed_224', img_size=64),
    'Perception Encoder': dict(name='vit_pe_core_tiny_patch16_384', img_size=64),
    'DINOv3': dict(name='dinov3_vits16'),
    'SigLIP': dict(name='vit_base_patch16_siglip_224', img_size=64),  # from here on without a class token
    'average pooling': dict(name='vit_wee_patch16_reg1_gap_256', img_size=64),
    'post-norm without class token': dict(name='vit_base_patch16_rpn_224', img_size=64),
    'AIMv2': dict(name='aimv2_large_patch14_224', img_size=56),
    'SAM': dict(name='samvit_base_patch16_224', img_size=64, window_size=3, global_attn_indexes=(1,)),
}


@pytest.fixture(params=FAMILIES)
def trunk(request):
    torch.manual_seed(0)
    trunk = build_trunk(FAMILIES[request.param] | SMALL)
    spread_out(trunk)
    return trunk.eval()


def test_stepping_through_equals_timms_own_forward(trunk):
    if trunk.arch.startswith('samvit'):
        trunk.model.neck = torch.nn.Flatten(2)  # timm's forward pass goes on with a neck
    size = trunk.patch_size
    # At other sizes DINOv2's positions are not resampled as timm does.
    rows, columns = (4, 4) if 'dinov2' in trunk.arch else (3, 5)
    images = torch.randn(2, 3, rows * size, columns * size)
    tokens, positions = trunk.embed(images)
    for index in range(trunk.depth):
        tokens = trunk.block(index, tokens, positions)
    expected = trunk.model.forward_features(images)
    if trunk.arch.startswith('samvit'):
        expected = expected.mT
    ours = tokens if isinstance(getattr(trunk.model, 'norm', None), torch.nn.Identity) else trunk.norm(tokens)
    assert torch.equal(ours, expected)
    assert tokens.shape == (2, trunk.num_prefix_tokens + rows * columns, trunk.embed_dims)


def test_class_attention_is_the_first_row_of_timms_matrix(trunk):
    if not trunk.has_class_token:
        with pytest.raises(ValueError, match=f'{trunk.arch} has no class token'):
            trunk.tap(0)
        return
    images = torch.randn(2, 3, 3 * trunk.patch_size, 5 * trunk.patch_size)
    tokens, positions = trunk.embed(images)
    caught = []
    for index in range(trunk.depth):
        attn = trunk.model.blocks[index].attn
        attn.fused_attn = False
        attn.attn_drop.register_forward_pre_hook(lambda _, args: caught.append(args[0]))
        trunk.tap(index)
        row = trunk.class_attention(index, tokens, positions)
        entering, tokens = tokens, trunk.block(index, tokens, positions)
        torch.testing.assert_close(row, caught[-1][:, :, 0])
        assert torch.equal(trunk.block_with_attention(index, entering, positions)[1], row)
    assert row[..., trunk.num_prefix_tokens :].std() > 1e-4, 'a flat row would prove nothing'


@pytest.mark.parametrize('adapter', ['daga', 'lora', 'adaptformer', 'mona', 'bitfit', 'last_blocks', None])
def test_adapters_work_on_every_family(trunk, adapter):
    arch = next(a for a in FAMILIES.values() if a['name'] == trunk.arch)
    config = daga((0, 2)) if adapter == 'daga' else adapter
    refused = {
        'daga': (not trunk.has_class_token, 'no class token'),
        'mona': (trunk.arch.startswith('samvit'), "no 'attn_branch' in block 0"),
        'bitfit': (trunk.arch.startswith('aimv2'), 'bitfit trains nothing'),
    }.get(adapter)
    if refused and refused[0]:
        with pytest.raises(ValueError, match=refused[1]):
            DAGAViT(arch | SMALL, adapter=config)
        return
    model = DAGAViT(arch | SMALL, adapter=config, out_indices=(1, 2))
    outputs = model(torch.randn(1, 3, 60, 40))
    assert outputs[0].shape == (1, 48, -(-60 // trunk.patch_size), -(-40 // trunk.patch_size))
    if adapter:
        sum((out * torch.randn_like(out)).sum() for out in outputs).backward()
        assert all(p.grad is not None for p in model.parameters() if p.requires_grad)


@pytest.mark.parametrize('arch', ['beit_base_patch16_224', 'swin_tiny_patch4_window7_224', 'convnext_tiny'])
def test_models_that_are_no_plain_vision_transformers_are_refused_by_name(arch):
    with pytest.raises(ValueError, match=arch):
        build_trunk(arch)


def test_blocks_without_readable_attention_are_refused_only_where_it_is_read():
    arch = dict(name='vit_base_patch16_xp_224', img_size=64) | SMALL
    DAGAViT(arch, adapter=None)(torch.randn(1, 3, 28, 28))
    with pytest.raises(ValueError, match='vit_base_patch16_xp_224.*ParallelScalingBlock.*q_norm'):
        DAGAViT(arch, adapter=daga((0, 2)))


def test_rotary_periods_are_dinov3s_and_survive_a_change_of_type():
    trunk = build_trunk(TINY)
    periods = trunk.model.rope.periods.clone()
    assert torch.equal(periods, periods.bfloat16().float())
    assert 'model.rope.periods' in trunk.state_dict()
    trunk.half().float()
    assert torch.equal(trunk.model.rope.periods, periods)
    assert 'model.rope.periods' in trunk.state_dict()


def test_official_source_without_the_package_says_how_to_get_it(monkeypatch):
    if importlib.util.find_spec('dinov3'):
        pytest.skip('the dinov3 package is installed here')
    with pytest.raises(ImportError, match='facebookresearch/dinov3'):
        build_trunk('dinov3_vits16', 'dinov3')


def test_official_source_agrees_with_timm(monkeypatch):
    """Both sources, filled from one official state dict, give the same features and the same guidance."""
    standin_dinov3.install(monkeypatch)
    torch.manual_seed(0)
    official = DAGAViT('dinov3_vits16', source='dinov3', adapter=None, out_indices=(0, 3)).eval()
    with torch.no_grad():
        for parameter in official.trunk.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    ported = DAGAViT(TINY, adapter=None, out_indices=(0, 3)).eval()
    load_trunk(ported.trunk, official.trunk.model.state_dict(), 'the stand-in')
    images = torch.randn(2, 3, 48, 80)
    for ours, theirs in zip(ported(images), official(images), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    row = official.guidance_map(images, normalize=False)
    torch.testing.assert_close(ported.guidance_map(images, normalize=False), row)
    matrix = official.trunk.model.blocks[-1].attn.matrix  # of the forward pass above
    torch.testing.assert_close(row.flatten(1), matrix.mean(dim=1)[:, 0, 5:])


def test_official_source_trains_adapters_and_everything(monkeypatch):
    standin_dinov3.install(monkeypatch)
    for adapter in ('daga', 'lora', 'adaptformer', 'mona', 'bitfit', 'last_blocks', None):
        model = DAGAViT(
            'dinov3_vits16', source='dinov3', adapter=adapter, frozen=adapter is not None, out_type='cls_avg'
        ).train()
        sum(out.pow(2).mean() for out in model(torch.randn(1, 3, 32, 32))).backward()
        assert [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None] == []


def test_unknown_official_backbone_lists_what_there_is(monkeypatch):
    standin_dinov3.install(monkeypatch)
    with pytest.raises(ValueError, match='dinov3_vitx16.*dinov3_vits16'):
        build_trunk('dinov3_vitx16', 'dinov3')


@pytest.mark.skipif(importlib.util.find_spec('dinov3') is None, reason='the official dinov3 package is not installed')
def test_installed_official_package_agrees_with_timm():
    torch.manual_seed(0)
    official = DAGAViT('dinov3_vits16', source='dinov3', adapter=None).eval()
    state = official.trunk.model.state_dict()
    for key, value in state.items():  # the package leaves them for its checkpoints to fill
        if key.endswith('bias_mask'):
            value.fill_(1)[value.numel() // 3 : 2 * value.numel() // 3] = 0
        elif key.endswith('periods'):
            value.copy_(value.bfloat16())
        elif value.ndim == 1:
            value.add_(0.1 * torch.randn_like(value))
    ported = DAGAViT('dinov3_vits16', adapter=None).eval()
    load_trunk(ported.trunk, state, 'the official package')
    images = torch.randn(1, 3, 160, 256)
    with torch.no_grad():
        for ours, theirs in zip(ported(images), official(images), strict=True):
            torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)
        maps = [m.guidance_map(images, normalize=False) for m in (ported, official)]
    torch.testing.assert_close(*maps, atol=1e-6, rtol=0)
