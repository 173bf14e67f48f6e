import types

import pytest
import torch

from daga_mm.compat.mmcv_ops import mmcv_kind
from daga_mm.necks import deformable_attention
from daga_mm.necks.deformable_attention import DeformableAttention

GRID = (3, 301)  # not a number of bfloat16


@pytest.fixture
def attention() -> DeformableAttention:
    torch.manual_seed(0)
    module = DeformableAttention(16, num_heads=2, num_points=3, value_proj_ratio=0.5)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter)
    return module


@pytest.fixture
def inputs() -> dict:
    generator = torch.Generator().manual_seed(1)
    query, value = (torch.randn(2, n, 16, generator=generator) for n in (40, GRID[0] * GRID[1]))
    points = torch.rand(40, 2, generator=generator)
    return dict(query=query, value=value, identity=torch.zeros(2, 40, 16), points=points, grid=GRID)


@pytest.mark.parametrize(
    ('compiled', 'is_cuda', 'dtype', 'serves'),
    [
        (True, True, torch.float32, True),
        (True, True, torch.bfloat16, False),
        (True, True, torch.float16, False),
        (True, False, torch.float32, False),
        (False, True, torch.float32, False),
    ],
)
def test_the_kernel_serves_where_it_is_there_and_exact(monkeypatch, compiled, is_cuda, dtype, serves):
    monkeypatch.setattr(deformable_attention, '_COMPILED', compiled)
    assert deformable_attention._kernel_serves(types.SimpleNamespace(is_cuda=is_cuda, dtype=dtype)) == serves


@pytest.mark.skipif(mmcv_kind() == 'compiled', reason="mmcv's compiled kernel is for CUDA; its stand-in runs anywhere")
def test_the_kernel_is_asked_for_the_same(attention, inputs, monkeypatch):
    attention.double()
    inputs = {key: x.double() if isinstance(x, torch.Tensor) else x for key, x in inputs.items()}
    results = []
    for kernel in (False, True):
        monkeypatch.setattr(deformable_attention, '_kernel_serves', lambda values, answer=kernel: answer)
        attention.zero_grad()
        output = attention(**inputs)
        output.backward(torch.linspace(-1, 1, output.numel()).view_as(output))
        results.append([output.detach(), *(parameter.grad for parameter in attention.parameters())])
    for ours, theirs in zip(*results, strict=True):
        assert ours.abs().max() > 0.1
        torch.testing.assert_close(ours, theirs, atol=1e-9, rtol=1e-9)


def test_what_half_precision_reads_lies_where_it_should(attention, inputs, monkeypatch):
    """The offsets are as the projection rounded them, and nothing else is rounded."""
    asked = {}
    monkeypatch.setattr(
        deformable_attention,
        'sample_deformably',
        lambda values, shapes, locations, weights: asked.update(locations=locations) or values.new_zeros(2, 40, 8),
    )
    with torch.autocast('cpu', torch.bfloat16):
        offsets = attention.sampling_offsets(inputs['query'])
        attention(**inputs)
    assert offsets.dtype == torch.bfloat16 and asked['locations'].dtype == torch.float32
    pixels = offsets.double().unflatten(-1, (2, 1, 3, 2)) / torch.tensor([301.0, 3.0]).double()
    expected = inputs['points'].double()[:, None, None, None] + pixels
    torch.testing.assert_close(asked['locations'].double(), expected, atol=1e-6, rtol=1e-6)
