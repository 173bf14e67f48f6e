import pytest
import torch

from daga_mm.necks import MapNorm, SimpleFPN


def test_strides_from_the_last_map():
    outputs = SimpleFPN(48, out_channels=32, num_outs=5)([torch.zeros(1, 1), torch.randn(2, 48, 4, 7)])
    assert [tuple(x.shape) for x in outputs] == [
        (2, 32, 16, 28), (2, 32, 8, 14), (2, 32, 4, 7), (2, 32, 2, 4), (2, 32, 1, 2)
    ]  # fmt: skip


def test_maps_are_contiguous_whatever_comes_in():
    features = torch.randn(2, 48, 4, 7).to(memory_format=torch.channels_last)
    assert all(output.is_contiguous() for output in SimpleFPN(48, out_channels=32)([features]))


def test_levels_keep_their_place():
    model = SimpleFPN(4, out_channels=4, num_outs=4)
    feature = torch.zeros(1, 4, 6, 6)
    feature[..., 1, 4] = 50.0
    base = model([torch.zeros_like(feature)])
    for output, other, size in zip(model([feature]), base, (4, 2, 1, 0.5), strict=True):
        changed = (output - other).abs().sum(dim=1)[0].nonzero().float().mean(dim=0)  # middle of what it touches
        assert torch.allclose((changed + 0.5) / size, torch.tensor([1.5, 4.5]), atol=1.0)


def test_every_parameter_gets_a_gradient():
    model = SimpleFPN(48, out_channels=32)
    sum(output.square().sum() for output in model([torch.randn(1, 48, 4, 4)])).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


def test_too_few_outputs_are_refused():
    with pytest.raises(ValueError, match='num_outs is 3, expected 4 or more'):
        SimpleFPN(48, num_outs=3)


def test_map_norm_normalises_each_map_apart():
    maps = [torch.randn(4, 8, 6, 6) * scale + scale for scale in (1.0, 50.0)]
    for output in MapNorm(8, num_maps=2)(maps):
        assert output.mean().abs() < 1e-5 and (output.std() - 1).abs() < 1e-2
    with pytest.raises(ValueError):
        MapNorm(8, num_maps=1)(maps)


def test_map_norm_drops_channels_before_it_normalises():
    torch.manual_seed(0)
    (dropped,) = MapNorm(8, dropout_ratio=0.5)([torch.randn(64, 8, 4, 4) + 5])
    assert dropped.mean().abs() < 1e-5 and (dropped.std() - 1).abs() < 1e-2
    constant = (dropped.flatten(2).std(dim=2) == 0).float().mean()  # a dropped channel of an image
    assert 0.4 < constant < 0.6
