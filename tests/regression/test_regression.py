"""What an earlier release has written loads, and gives what it gave."""

import numpy as np
import pytest

from .write import ADAPTERS, HERE, outputs

RELEASES = sorted(folder.name for folder in HERE.iterdir() if (folder / 'depth.npz').is_file())


@pytest.mark.parametrize('release', RELEASES)
@pytest.mark.parametrize('task', ADAPTERS)
def test_a_published_model_gives_what_it_gave(release, task):
    expected = np.load(HERE / release / f'{task}.npz')
    found = outputs(HERE / release / task)
    assert found.keys() == set(expected.files)
    for name, value in found.items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-3, atol=1e-4 * np.abs(expected[name]).max())
