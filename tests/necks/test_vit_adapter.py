import pytest
import torch

from daga_mm.necks import ViTAdapterNeck
from daga_mm.necks.vit_adapter import Extractor, _centres, _sample

DIMS = 48


def neck(**kwargs) -> ViTAdapterNeck:
    torch.manual_seed(0)
    return ViTAdapterNeck(DIMS, **{'conv_inplane': 8, 'num_heads': 3} | kwargs)


def inputs(height: int, width: int, patch: int = 16) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    grid = -(-height // patch), -(-width // patch)
    shapes = [(2, 3, height, width)] + [(2, DIMS, *grid)] * 4
    return [torch.randn(shape, generator=generator) for shape in shapes]


def _norm(key: str) -> int:
    return int(key.split('.')[1]) if key.startswith('norms.') else 0


def ramps(height: int, width: int, patch: int) -> torch.Tensor:
    """A map (1, 2, h, w) that holds each patch's centre, x and y in pixels."""
    y = (torch.arange(height) + 0.5) * patch
    x = (torch.arange(width) + 0.5) * patch
    return torch.stack([x.expand(height, -1), y[:, None].expand(-1, width)])[None]


@pytest.mark.parametrize(('size', 'patch'), [((64, 96), 16), ((75, 110), 16), ((57, 43), 14), ((40, 24), 8)])
def test_strides_cover_any_image(size, patch):
    outputs = neck(patch_size=patch)(inputs(*size, patch))
    expected = [(2, DIMS, -(-size[0] // stride), -(-size[1] // stride)) for stride in (4, 8, 16, 32)]
    assert [tuple(output.shape) for output in outputs] == expected


def test_outputs_from_stride_8_on_are_those_of_the_whole_neck():
    whole, part = neck().eval(), neck(start_level=1).eval()
    state = whole.state_dict()
    for key in [key for key in state if key.startswith('norms.0.')]:
        del state[key]
    state = {key.replace(f'norms.{n}.', f'norms.{n - 1}.'): v for key, v in state.items() for n in [_norm(key)]}
    unused = part.load_state_dict(state, strict=False)
    assert not unused.missing_keys
    assert {key.rpartition('.')[0] for key in unused.unexpected_keys} == {'prior.projections.0', 'up'}
    for expected, found in zip(whole(inputs(75, 110))[1:], part(inputs(75, 110)), strict=True):
        assert torch.equal(expected, found)


def test_maps_are_contiguous_whatever_comes_in():
    image, *maps = inputs(64, 96)
    outputs = neck()([image, *(m.to(memory_format=torch.channels_last) for m in maps)])
    assert all(output.is_contiguous() for output in outputs)


@pytest.mark.parametrize('stride', [4, 8, 16, 32])
def test_maps_are_read_where_the_pixels_are(stride):
    # A map of 3 × 5 patches, on an image padded from 48 × 80 to 64 × 96 pixels.
    height, width = 64 // stride, 96 // stride
    centres = _centres(height, width, stride, (48, 80), torch.zeros(()))
    read = _sample(ramps(3, 5, 16), centres)
    pixels = ramps(height, width, stride)
    inside = (pixels >= 8) & (pixels <= torch.tensor([80 - 8, 48 - 8])[None, :, None, None])
    inside = inside.all(dim=1, keepdim=True).expand_as(read)
    assert inside.any() and torch.allclose(read[inside], pixels[inside], atol=1e-4)


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_half_precision_reads_at_the_same_places(dtype):
    centres = _centres(336, 336, 4, (1344, 1344), torch.zeros((), dtype=dtype))
    assert torch.equal(centres, _centres(336, 336, 4, (1344, 1344), torch.zeros(())))
    coarse = inputs(1344, 1344)[1][:, :3].to(dtype)
    assert torch.equal(_sample(coarse, centres), _sample(coarse.float(), centres).to(dtype))


def test_extractors_read_the_map_at_their_own_place():
    extractor = Extractor(2, num_heads=1, num_points=1, deform_ratio=1.0, ffn_ratio=1.0)
    attention = extractor.attention
    for linear in (attention.value_proj, attention.output_proj):
        torch.nn.init.eye_(linear.weight)
    torch.nn.init.zeros_(attention.sampling_offsets.bias)
    torch.nn.init.zeros_(extractor.fc2.weight)
    torch.nn.init.zeros_(extractor.fc2.bias)
    extractor.feature_norm = torch.nn.Identity()
    points = _centres(8, 12, 8, (64, 96), torch.zeros(())).flatten(0, 1)
    read = extractor(torch.zeros(1, 96, 2), ramps(4, 6, 16), points, [(8, 12)])[0].detach()
    pixels = ramps(8, 12, 8)[0].flatten(1).T
    inside = ((pixels >= 8) & (pixels <= torch.tensor([88, 56]))).all(dim=1)
    assert inside.sum() == 6 * 10 and torch.allclose(read[inside], pixels[inside], atol=1e-4)


@pytest.mark.parametrize('start_level', [0, 1])
def test_every_parameter_and_every_map_gets_a_gradient(start_level):
    model, given = neck(start_level=start_level), [x.requires_grad_() for x in inputs(64, 64)]
    sum(output.square().sum() for output in model(given)).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []
    assert all(x.grad.abs().sum() > 0 for x in given)


def test_recomputing_activations_changes_nothing():
    results = []
    for with_cp in (False, True):
        model, given = neck(with_cp=with_cp), [x.requires_grad_() for x in inputs(64, 64)]
        outputs = model(given)
        sum(output.square().sum() for output in outputs).backward()
        results.append([*outputs, *(p.grad for p in model.parameters())])
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


@pytest.mark.parametrize(
    ('given', 'message'),
    [
        (inputs(64, 64)[1:], 'expected an image and four maps'),
        (inputs(64, 64)[:4], 'expected an image and four maps'),
        (
            [*inputs(64, 64)[:1], *inputs(64, 80)[1:]],
            r'\(48, 4, 5\)\], expected \(48, 4, 4\)',
        ),
        ([*inputs(64, 64)[:1], *[x[:, :32] for x in inputs(64, 64)[1:]]], 'embed_dims=48'),
    ],
)
def test_wrong_inputs_are_named(given, message):
    with pytest.raises(ValueError, match=message):
        neck()(given)


def test_initialisation_and_norms_are_those_of_dinov3s_adapter():
    """Convolutions N(0, √(2 / fan_out)), linear layers truncated normal .02, biases zero, LayerNorm eps 1e-6."""
    torch.manual_seed(0)
    built = ViTAdapterNeck(384)
    extractor = built.extractors[0]
    stds = {
        'dwconv': (extractor.dwconv, (2 / 9) ** 0.5),
        'fc2': (extractor.fc2, 0.02),
        'last convolution of the prior': (built.prior.projections[3], (2 / 384) ** 0.5),
        'up': (built.up, (2 / (4 * 384)) ** 0.5),
    }
    for name, (module, std) in stds.items():
        assert module.weight.detach().std() == pytest.approx(std, rel=0.1), name
        assert not module.bias.any(), name
    assert {m.eps for m in built.modules() if isinstance(m, torch.nn.LayerNorm)} == {1e-6}
    assert extractor.attention.sampling_offsets.bias.detach().abs().max() == 4, 'its own initialisation is untouched'
