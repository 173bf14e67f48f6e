import numpy as np
import pytest
from pycocotools import mask as coco

from daga_mm.apis.run_lengths import compress, decode_columns, encode_mask


@pytest.mark.parametrize('density', [0.0, 0.1, 0.6, 1.0])
def test_run_lengths_are_pycocotools(density):
    """Of masks anywhere in an image, up to its last pixel."""
    rng = np.random.default_rng(0)
    for _ in range(60):
        height, width = rng.integers(1, 30, 2).tolist()
        h, w = rng.integers(1, height + 1), rng.integers(1, width + 1)
        top, left = rng.integers(height - h + 1), rng.integers(width - w + 1)
        mask = rng.random((h, w)) < density
        whole = np.zeros((height, width), np.uint8, order='F')
        whole[top : top + h, left : left + w] = mask
        encoded, expected = encode_mask(mask, (height, width), top, left), coco.encode(whole)
        assert compress(encoded) == {'size': [height, width], 'counts': expected['counts'].decode()}
        strip, first = decode_columns(encoded)
        again = np.zeros_like(whole)
        again[:, first : first + strip.shape[1]] = strip
        assert (again == whole).all() and (not mask.any() or (strip[:, 0].any() and strip[:, -1].any()))
