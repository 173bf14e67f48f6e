"""Both streams: the attention and the maps are those that forward() computes and uses."""

import pytest
import torch

from daga_mm.layers import normalize_map
from daga_mm.visualization import compare_streams

from ..conftest import daga


@pytest.mark.parametrize('guidance', ['inline', dict(layer=1), dict(scale=0.5)], ids=str)
def test_streams_are_those_of_the_forward_pass(tiny, images, guidance):
    model = tiny(adapter=daga(guidance=guidance))
    seen = []
    for encoder in model.adapters['daga'].encoders.values():
        encoder.register_forward_hook(lambda _, args, result: seen.append(args[0]))
    outputs = model(images)
    streams = compare_streams(model, images)
    assert list(streams.adapted.maps) == list(streams.frozen.maps) == [0, 1, 2, 3]
    for index, output in enumerate(outputs):
        assert torch.equal(streams.adapted.maps[index], output)
    for index, output in enumerate(tiny(adapter=None)(images)):
        torch.testing.assert_close(streams.frozen.maps[index], output)
    assert streams.adapted.attention[3].shape == (2, 3, 4, 6) and streams.num_tokens == 5 + 24
    frozen = streams.frozen.attention[model.guidance_layer].mean(dim=1)
    torch.testing.assert_close(frozen, model.guidance_map(images, normalize=False))
    if guidance == 'inline':
        for layer, used in zip((0, 2, 3), seen, strict=False):
            torch.testing.assert_close(normalize_map(streams.adapted.attention[layer].mean(dim=1)), used)
    # Up to the first adapted block nothing differs; after it everything does.
    assert torch.equal(streams.frozen.attention[0], streams.adapted.attention[0])
    assert not torch.allclose(streams.frozen.attention[1], streams.adapted.attention[1])


def test_what_daga_does(tiny, images):
    model = tiny().train()
    streams = compare_streams(model, images)
    assert model.training and not model.trunk.training, 'the mode is not as it was'
    assert set(streams.gates) == set(streams.mixing) == set(streams.updates) == {0, 2, 3}
    assert streams.gates[0].shape == (2, 1, 48) and 0 < streams.gates[0].min() < streams.gates[0].max() < 1
    assert streams.mixing[2] == pytest.approx(0.1)
    assert (streams.updates[3] > 0).all()
    assert compare_streams(tiny(adapter=daga(gate='token')), images).gates[0].shape == (2, 24, 48)
    assert compare_streams(tiny(adapter=daga(gate='heads')), images).gates[0].shape == (2, 24, 48)
    fresh = compare_streams(tiny(fresh=True), images)
    assert all(update.eq(0).all() for update in fresh.updates.values())
    assert torch.equal(fresh.frozen.attention[3], fresh.adapted.attention[3])


def test_guidance_from_behind_the_last_output_is_no_part_of_the_stream(tiny, images):
    streams = compare_streams(tiny(adapter=daga((0,), guidance=dict(layer=-1)), out_indices=(1,)), images)
    assert set(streams.frozen.attention) == set(streams.adapted.attention) == {0, 1}


def test_other_adapters_have_streams_and_no_gates(tiny, images):
    for name in ('lora', 'mona'):
        model = tiny(adapter=name)
        streams = compare_streams(model, images)
        assert torch.equal(streams.adapted.maps[3], model(images)[-1])
        assert not torch.allclose(streams.adapted.attention[3], streams.frozen.attention[3]) and not streams.gates


def test_nothing_stays_behind(tiny, images):
    model = tiny()
    compare_streams(model, images)
    assert model._record is None and all(tap.taken is None for tap in model.trunk.taps.values())


def test_a_rim_and_class_tokens_as_output(tiny, images):
    model = tiny(out_type='cls_avg', out_indices=(3,))
    streams = compare_streams(model, images[..., :50, :90])
    assert streams.adapted.maps[3].shape == (2, 48, 4, 6)
    patches = model(images[..., :50, :90])[0][:, 48:]
    torch.testing.assert_close(streams.adapted.maps[3].mean(dim=(2, 3)), patches)


def test_without_daga_there_is_one_stream(tiny, images):
    streams = compare_streams(tiny(adapter=None), images)
    assert streams.frozen is streams.adapted and not streams.gates and len(streams.adapted.attention) == 4
