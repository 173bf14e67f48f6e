import pickle

import pytest
import torch
from safetensors.torch import save_file

from daga_mm.backbones import DAGAViT, build_trunk
from daga_mm.backbones.checkpoints import fingerprint, load_trunk, read_weights

from ..conftest import TINY, daga
from .standin_dinov3 import VisionTransformer

NO_BIAS = TINY | dict(name='vit_small_patch16_dinov3')


@pytest.fixture
def official() -> dict[str, torch.Tensor]:
    """A state dict with the keys of an official DINOv3 file, every tensor random, qkv biases not zero."""
    torch.manual_seed(0)
    state = VisionTransformer().state_dict()
    fixed = ('bias_mask', 'periods')
    return {k: v if k.endswith(fixed) else v + 0.1 * torch.randn_like(v) for k, v in state.items()}


def hugging_face(official: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """What transformers' conversion makes of it (convert_dinov3_vit_to_hf.py): no key bias, no periods."""
    names = {
        'cls_token': 'embeddings.cls_token',
        'storage_tokens': 'embeddings.register_tokens',
        'patch_embed.proj.weight': 'embeddings.patch_embeddings.weight',
        'patch_embed.proj.bias': 'embeddings.patch_embeddings.bias',
        'norm.weight': 'norm.weight',
        'norm.bias': 'norm.bias',
    }
    state = {new: official[old] for old, new in names.items()}
    state['embeddings.mask_token'] = official['mask_token'][None]
    for i in range(4):
        old, new = f'blocks.{i}.', f'layer.{i}.'
        for kind in ('weight', 'bias'):
            q, k, v = official[f'{old}attn.qkv.{kind}'].chunk(3)
            state |= {f'{new}attention.q_proj.{kind}': q, f'{new}attention.v_proj.{kind}': v}
            if kind == 'weight':
                state[f'{new}attention.k_proj.weight'] = k
            for theirs, ours in [
                ('attn.proj', 'attention.o_proj'),
                ('mlp.fc1', 'mlp.up_proj'),
                ('mlp.fc2', 'mlp.down_proj'),
                ('norm1', 'norm1'),
                ('norm2', 'norm2'),
            ]:
                state[f'{new}{ours}.{kind}'] = official[f'{old}{theirs}.{kind}']
        for n in (1, 2):
            state[f'{new}layer_scale{n}.lambda1'] = official[f'{old}ls{n}.gamma']
    return {key: value.clone() for key, value in state.items()}


def features(state: dict, images: torch.Tensor, arch: dict = TINY) -> torch.Tensor:
    model = DAGAViT(arch, adapter=None, out_indices=(3,)).eval()
    load_trunk(model.trunk, state, 'a test')
    return model(images)[0]


def timm_state(official: dict) -> dict[str, torch.Tensor]:
    trunk = build_trunk(TINY)
    load_trunk(trunk, official, 'a test')
    return {key: value for key, value in trunk.model.state_dict().items() if key != 'rope.periods'}


# -- formats ------------------------------------------------------------------------------------------------------


def test_every_published_format_gives_the_same_features(official, images, tmp_path):
    torch.save(official, tmp_path / 'official.pth')
    teacher = {f'backbone.{k}': v for k, v in official.items()} | {'dino_head.last_layer.weight': torch.ones(2)}
    torch.save({'teacher': teacher}, tmp_path / 'training.pth')
    torch.save({'state_dict': official, 'meta': {'epoch': 3}}, tmp_path / 'wrapped.pth')
    save_file(official, tmp_path / 'misnamed.bin')
    save_file(hugging_face(official), tmp_path / 'model.safetensors')
    save_file(timm_state(official), tmp_path / 'timm.safetensors')
    expected = features(official, images)
    for path in sorted(tmp_path.iterdir()):
        assert torch.equal(features(read_weights(path), images), expected), path.name


def test_our_own_checkpoint_brings_trunk_and_adapters(tiny, images, tmp_path):
    trained = tiny()
    state = {f'module.backbone.{k}': v for k, v in trained.state_dict().items()} | {'head.w': torch.ones(1)}
    torch.save({'state_dict': state}, tmp_path / 'epoch_1.pth')
    init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'epoch_1.pth'))
    other = DAGAViT(TINY, adapter=daga(), out_indices=(0, 1, 2, 3), init_cfg=init_cfg).eval()
    other.init_weights()
    assert all(torch.equal(a, b) for a, b in zip(other(images), trained(images), strict=True))
    plain = DAGAViT(TINY, adapter=None, init_cfg=init_cfg)
    plain.init_weights()
    assert plain.fingerprints()['trunk'] == other.fingerprints()['trunk']
    with trained.without_adapters():
        assert torch.equal(plain(images)[-1], trained(images)[-1])
    fewer = DAGAViT(TINY, adapter=daga((0,)), init_cfg=init_cfg)
    with pytest.raises(ValueError, match='epoch_1.pth .*daga'):
        fewer.init_weights()


def test_a_norm_of_the_pretrainings_local_crops_is_left_out(official, images):
    """The satellite ViT-L and both 7B have one."""
    more = official | {'local_cls_norm.weight': torch.ones(48), 'local_cls_norm.bias': torch.ones(48)}
    assert torch.equal(features(more, images), features(official, images))


def test_timm_file_without_qkv_biases_means_zero_biases(official, images):
    zeroed = {k: torch.zeros_like(v) if k.endswith('qkv.bias') else v for k, v in official.items()}
    without = {k: v for k, v in timm_state(zeroed).items() if not k.endswith(('q_bias', 'v_bias'))}
    assert torch.equal(features(without, images), features(zeroed, images))
    assert torch.equal(features(zeroed, images, NO_BIAS), features(zeroed, images))


def test_biases_are_never_lost_silently(official):
    with pytest.raises(ValueError, match=r'qkv biases that are not zero.*_qkvb'):
        load_trunk(build_trunk(NO_BIAS), official, 'a test')
    unmasked = {k: torch.ones_like(v) if k.endswith('bias_mask') else v for k, v in official.items()}
    with pytest.raises(ValueError, match="key biases.*source='dinov3'"):
        load_trunk(build_trunk(TINY), unmasked, 'a test')


def test_periods_of_the_file_count(official, images):
    expected = features(official, images)
    moved = official | {'rope_embed.periods': official['rope_embed.periods'] * 1.5}
    assert not torch.allclose(features(moved, images), expected, atol=1e-3)


# -- faults -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda s: s.pop('blocks.2.mlp.fc1.weight'), r'missing \(1\): blocks.2.mlp.fc1.weight'),
        (lambda s: s.update({'blocks.9.norm1.weight': torch.ones(48)}), r'unexpected \(1\): blocks.9.norm1.weight'),
        (
            lambda s: s.update({'norm.weight': torch.ones(64), 'norm.bias': torch.ones(64)}),
            r'misshapen \(2\): norm.weight \(64,\) instead of \(48,\)',
        ),
        (lambda s: s['norm.weight'].fill_(float('nan')), r'not finite \(1\): norm.weight'),
        (lambda s: s.update({'patch_embed.proj.weight': torch.ones(48, 3, 14, 14)}), 'patches of 14 pixels'),
    ],
)
def test_every_wrong_tensor_is_listed_and_nothing_is_loaded(official, change, message):
    trunk = build_trunk(TINY)
    before = fingerprint(trunk.state_dict())
    change(official)
    with pytest.raises(ValueError, match=message):
        load_trunk(trunk, official, 'a test')
    assert fingerprint(trunk.state_dict()) == before


class Bomb:
    def __reduce__(self):
        return (exec, ("raise SystemExit('code ran')",))


def test_unreadable_files_say_what_they_are(official, tmp_path):
    cases = {
        'empty.pth': (b'', 'is empty'),
        'page.pth': (b'<!DOCTYPE html><html>Sign in</html>', 'web page'),
        'pointer.pth': (b'version https://git-lfs.github.com/spec/v1\noid sha256:0', 'git lfs pull'),
        'list.pth': ([1, 2], 'no state dict'),
        'numbers.pth': ({'epoch': 3}, 'no state dict of tensors'),
        'code.pth': (pickle.dumps({'a': Bomb()}), 'code.pth was not loaded'),
    }
    torch.save(official, tmp_path / 'whole.pth')
    save_file(official, tmp_path / 'whole.safetensors')
    for kind in ('pth', 'safetensors'):
        whole = (tmp_path / f'whole.{kind}').read_bytes()
        cases[f'truncated.{kind}'] = (whole[: len(whole) // 2], f'truncated.{kind}')
    for name, (content, message) in cases.items():
        path = tmp_path / name
        path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
        with pytest.raises(ValueError, match=message):
            read_weights(path)
    for absent in (tmp_path / 'nowhere.pth', tmp_path):
        with pytest.raises(FileNotFoundError, match=f'no weights at {absent}.*docs/weights.md'):
            read_weights(absent)
    with pytest.raises(ValueError, match='download the weights first'):
        read_weights('https://example.org/dinov3.pth')


def test_fingerprint_tells_values_and_names_apart_and_no_storage():
    state = {'a': torch.zeros(2), 'b': torch.tensor(1.0)}
    same = fingerprint({'b': torch.tensor(1.0), 'a': torch.zeros(2)})
    assert fingerprint(state) == same and len(same) == 16
    others = [{'a': torch.zeros(2), 'b': torch.tensor(2.0)}, {'c': torch.zeros(2), 'b': torch.tensor(1.0)}]
    others += [{'a': torch.zeros(1, 2), 'b': torch.tensor(1.0)}]
    assert len({same, *map(fingerprint, others)}) == 4
    assert fingerprint({'a': torch.zeros(2).bfloat16(), 'b': torch.tensor(1.0)}) == same, 'the same values'
