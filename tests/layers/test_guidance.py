import pytest
import torch

from daga_mm.layers import class_attention, normalize_map


def test_class_attention_is_the_first_row_of_the_full_matrix():
    query, key = torch.randn(2, 3, 7, 4), torch.randn(2, 3, 7, 4)
    full = (query @ key.transpose(-2, -1) * 0.5).softmax(dim=-1)
    torch.testing.assert_close(class_attention(query[:, :, :1], key, 0.5), full[:, :, 0])


def test_class_attention_of_half_precision_comes_in_float32():
    row = class_attention(torch.randn(1, 1, 1, 4).bfloat16(), torch.randn(1, 1, 9, 4).bfloat16(), 1.0)
    assert row.dtype == torch.float32
    torch.testing.assert_close(row.sum(dim=-1), torch.ones(1, 1))


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_class_attention_is_not_rounded_under_autocast(dtype):
    query, key = torch.randn(2, 3, 1, 64).to(dtype), torch.randn(2, 3, 99, 64).to(dtype)
    with torch.autocast('cpu', torch.bfloat16):
        row = class_attention(query, key, 0.125)
        rounded = (query @ key.transpose(-2, -1)).squeeze(-2).float()
    assert torch.equal(row, class_attention(query.float(), key.float(), 0.125))
    assert not torch.allclose(row, (rounded * 0.125).softmax(dim=-1), rtol=1e-3), 'rounding would not be seen'


def test_class_attention_has_a_shape_without_a_device():
    query, key = (torch.empty(2, 3, n, 4, device='meta') for n in (1, 7))
    assert class_attention(query, key, 1.0).shape == (2, 3, 7)


def test_normalize_map_reaches_zero_and_one_for_tiny_ranges_and_per_image():
    attention = torch.stack([torch.linspace(0.001, 0.001001, 12), torch.linspace(3, 9, 12)]).view(2, 3, 4).double()
    stretched = normalize_map(attention)
    expected = torch.linspace(0, 1, 12).double().view(3, 4)
    torch.testing.assert_close(stretched, torch.stack([expected, expected]), atol=1e-4, rtol=0)
    assert stretched.amin() == 0 and stretched.amax() == 1


def test_normalize_map_of_a_constant_map_is_zero_not_nan():
    stretched = normalize_map(torch.stack([torch.full((2, 2), 0.25), torch.eye(2)]))
    assert torch.equal(stretched, torch.stack([torch.zeros(2, 2), torch.eye(2)]))
