"""What tests of depth share: small models from the configs."""

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from daga_mm.cli.config import load_config

from ..configs.shrink import shrink
from ..conftest import REPOSITORY

CONFIGS = {
    'linear': 'depth_daga-vits16_linear_8xb2-38400iters_nyu-416x544.py',
    'dpt': 'depth_daga-vits16_dpt_8xb2-25e_nyu-416x544.py',
}


def read_config(head: str, **options) -> Config:
    """The small config of DAGA with this head; ``options`` by dotted name."""
    return shrink(load_config(REPOSITORY / 'configs/depth' / CONFIGS[head], options))


@pytest.fixture
def build():
    """A function that builds a small model from a config, random and in eval mode."""

    def build(head: str, **options) -> torch.nn.Module:
        config = read_config(head)
        config.merge_from_dict(options)
        init_default_scope('mmseg')
        torch.manual_seed(0)
        return MODELS.build(config.model).eval()

    return build
