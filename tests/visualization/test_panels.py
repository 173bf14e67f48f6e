"""Pictures: what they show is there, and they refuse what they cannot show."""

import numpy as np
import pytest
import torch

from daga_mm.visualization import (
    compare_streams,
    draw_attention,
    draw_blocks,
    draw_features,
    draw_gates,
    draw_heads,
    write_picture,
)
from daga_mm.visualization.panels import principal_colours

PICTURE = np.full((60, 90, 3), 128, np.uint8)


@pytest.fixture(scope='module')
def streams(tiny):
    """Of an image of 60×90 pixels, so that the patch grid has a rim."""
    return compare_streams(tiny(), torch.randn(1, 3, 60, 90, generator=torch.Generator().manual_seed(2)))


def colours_of(picture):
    assert picture.dtype == np.uint8 and picture.ndim == 3 and picture.shape[2] == 3
    return len(np.unique(picture.reshape(-1, 3), axis=0))


def test_attention_shows_both_streams_and_their_difference(tiny, streams):
    both = draw_attention(PICTURE, streams, 0, 3, 16)
    alone = compare_streams(tiny(adapter=None), torch.randn(1, 3, 60, 90))
    assert both.shape[1] > draw_attention(PICTURE, alone, 0, 3, 16).shape[1]
    assert not np.array_equal(both, draw_attention(PICTURE, streams, 0, 2, 16))
    assert colours_of(both) > 100


def test_blocks_heads_and_features(streams):
    for picture in (
        draw_blocks(PICTURE, streams, 0, 16),
        draw_heads(PICTURE, streams, 0, 3, 16),
        draw_features(PICTURE, streams, 0, 16),
    ):
        assert colours_of(picture) > 50 and picture.shape[1] < 1500, 'too wide for a page'


def test_gates(streams):
    assert colours_of(draw_gates(streams.gates, streams.mixing, streams.updates)) > 20
    with pytest.raises(ValueError, match='no adapter of this backbone has gates'):
        draw_gates({}, {}, {})


def test_principal_colours_show_the_directions_that_vary():
    maps = 0.01 * torch.randn(2, 8, 5, 6, generator=torch.Generator().manual_seed(0))
    maps[:, 3] += torch.linspace(-10, 10, 6)  # from left to right
    maps[:, 5] += torch.linspace(-2, 2, 5)[:, None]  # from top to bottom
    colours, share = principal_colours(maps)
    assert colours.shape == (2, 5, 6, 3) and colours.min() >= 0 and colours.max() <= 1 and share > 0.99
    red, green = colours[0, ..., 0], colours[0, ..., 1]
    assert (np.diff(red, axis=1) > 0.1).all() and np.abs(np.diff(red, axis=0)).max() < 0.05
    assert (np.diff(green, axis=0) > 0.1).all() and np.abs(np.diff(green, axis=1)).max() < 0.05
    again, _ = principal_colours(maps.flip(0))
    np.testing.assert_allclose(again[::-1], colours, atol=1e-5)


def test_a_picture_is_written_whole(tmp_path):
    import cv2

    write_picture(tmp_path / 'a.png', np.stack([PICTURE[..., 0], 0 * PICTURE[..., 0], 0 * PICTURE[..., 0]], axis=-1))
    assert [path.name for path in tmp_path.iterdir()] == ['a.png']
    assert cv2.imread(str(tmp_path / 'a.png'))[0, 0].tolist() == [0, 0, 128], 'red is red'
