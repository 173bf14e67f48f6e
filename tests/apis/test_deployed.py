"""A model with its preprocessing inside gives what it gives in a test."""

import pytest
import torch

from daga_mm.apis import load
from daga_mm.apis.deployed import Deployed

from ..small_models import CONFIGS


@pytest.mark.parametrize('task', CONFIGS)
def test_it_gives_what_the_model_gives_behind_its_own_preprocessor(task, models):
    loaded = load(*models[task], device='cpu')
    deployed = Deployed(loaded.model, loaded.config)
    images = torch.randint(256, (2, 70, 90, 3), dtype=torch.uint8)  # no multiple of a patch
    with torch.no_grad():
        found, expected = deployed(images), deployed.upstream(images)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, atol=1e-4, rtol=1e-4)
    if task in ('segmentation', 'depth'):
        assert found['labels' if task == 'segmentation' else 'depth'].shape == (2, 70, 90)


def test_another_task_is_refused(models):
    loaded = load(*models['classification'], device='cpu')
    loaded.config.default_scope = 'mmaction'
    with pytest.raises(ValueError, match='mmaction.* mmpretrain, mmseg, depth, mmdet'):
        Deployed(loaded.model, loaded.config)
