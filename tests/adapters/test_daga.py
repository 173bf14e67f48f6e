import pytest
import torch

from daga_mm.adapters.daga import AttentionEncoder, GatedBottleneck, HeadsBottleneck, HeadsEncoder


@pytest.mark.parametrize(('gate', 'shape'), [('channel', (2, 16, 1, 1)), ('token', (2, 16, 3, 5))])
def test_encoder_shapes(gate, shape):
    assert AttentionEncoder(16, gate)(torch.rand(2, 3, 5)).shape == shape


def test_encoder_sees_what_the_map_shows_not_only_its_mean():
    encoder = AttentionEncoder(16)
    left, spread = torch.zeros(1, 4, 4), torch.zeros(1, 4, 4)
    left[0, 0, :2] = 1
    spread[0, ::3, ::3] = 0.5
    assert left.mean() == spread.mean()
    assert not torch.allclose(encoder(left), encoder(spread), atol=1e-5)


def test_fresh_daga_is_the_identity_bit_for_bit():
    patches = torch.randn(2, 15, 8) * 100
    assert torch.equal(GatedBottleneck(8, 16, 4, 0.1)(patches, torch.randn(2, 16, 1, 1), (3, 5)), patches)


def test_update_is_mixing_times_gate_times_bottleneck():
    daga = GatedBottleneck(8, 16, 4, 0.5)
    torch.nn.init.normal_(daga.up.weight)
    patches, instruction = torch.randn(2, 15, 8), torch.randn(2, 16, 1, 1)
    gate = torch.sigmoid(instruction[:, :, 0, 0] @ daga.gate_generator.weight.T + daga.gate_generator.bias)
    hidden = torch.nn.functional.gelu(daga.down(torch.nn.functional.layer_norm(patches, (8,))))
    expected = patches + 0.5 * gate[:, None] * (hidden @ daga.up.weight.T)
    torch.testing.assert_close(daga(patches, instruction, (3, 5)), expected)


def test_token_gates_differ_between_patches_and_follow_a_smaller_map():
    daga = GatedBottleneck(8, 16, 4, 0.1)
    gates = daga.gate(torch.randn(2, 16, 2, 3), (4, 6))
    assert gates.shape == (2, 24, 8)
    assert not torch.allclose(gates[:, :1], gates)
    full = torch.randn(2, 16, 4, 6)
    by_hand = torch.sigmoid(daga.gate_generator(full[:, :, 1, 2]))
    torch.testing.assert_close(daga.gate(full, (4, 6))[:, 1 * 6 + 2], by_hand)


def test_every_parameter_learns_after_one_step():
    """At the start only the up-projection gets gradient; one step later the whole chain does."""
    torch.manual_seed(0)
    encoder, daga = AttentionEncoder(16), GatedBottleneck(8, 16, 4, 0.1)
    parameters = [*encoder.named_parameters(), *daga.named_parameters()]
    optimizer = torch.optim.SGD([p for _, p in parameters], lr=1.0)
    patches, guidance = torch.randn(2, 15, 8), torch.rand(2, 3, 5)
    for _ in range(2):
        optimizer.zero_grad()
        daga(patches, encoder(guidance), (3, 5)).pow(2).sum().backward()
        optimizer.step()
    assert [name for name, p in parameters if p.grad is None or not p.grad.abs().sum() > 0] == []


def test_a_gate_of_heads_is_linear_in_what_they_look_at():
    maps = torch.rand(2, 3, 4, 6, generator=torch.Generator().manual_seed(0))
    instruction = HeadsEncoder()(maps)
    torch.testing.assert_close(instruction.mean(dim=(2, 3)), torch.zeros(2, 3), atol=1e-5, rtol=0)
    daga = HeadsBottleneck(8, 3, 4, 0.1)
    assert torch.equal(daga.gate(instruction, (4, 6)), torch.full((2, 24, 8), 0.5)), 'as a sigmoid starts'
    torch.nn.init.normal_(daga.gate_generator.weight)
    by_hand = daga.gate_generator.weight @ (maps[1, :, 2, 5] / maps[1].mean(dim=(1, 2)) - 1) + 0.5
    torch.testing.assert_close(daga.gate(instruction, (4, 6))[1, 2 * 6 + 5], by_hand, atol=1e-4, rtol=1e-4)
    assert daga.gate(instruction, (8, 12)).shape == (2, 96, 8)
    patches = torch.randn(2, 24, 8)
    assert torch.equal(daga(patches, instruction, (4, 6)), patches), 'the identity at first'
