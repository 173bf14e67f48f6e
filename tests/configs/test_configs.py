"""Every config of the repository: it builds, it trains what its name says, mim can find it."""

import collections
import re

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope

from ..conftest import REPOSITORY
from .shrink import shrink

CONFIGS = sorted(
    path for path in (REPOSITORY / 'configs').rglob('*.py') if '_base_' not in path.relative_to(REPOSITORY).parts
)
IDS = [path.stem for path in CONFIGS]
# {method}_{daga|frozen|full}-{size}_{neck or head}_{gpus}xb{batch}-{schedule}_{dataset-size}
NAME = re.compile(
    r'[a-z0-9-]+_(?P<kind>daga|frozen|full)-(?P<size>vits16|vitb16|vitl16)_[a-z0-9-]+'
    r'_(?P<gpus>\d+)xb(?P<batch>\d+)-(?P<schedule>[\w-]+)_[a-z0-9-]+'
)


def test_base_names_are_unique():
    names = collections.Counter(path.name for path in (REPOSITORY / 'configs').rglob('*.py'))
    assert [name for name, count in names.items() if count > 1] == []


@pytest.mark.parametrize('path', CONFIGS, ids=IDS)
def test_config_is_what_its_name_says(path):
    name = NAME.fullmatch(path.stem)
    assert name, f'{path.name} is not named as CONTRIBUTING.md says'
    config = Config.fromfile(path)
    backbone = config.model.backbone
    assert backbone.arch == f'dinov3_{name["size"]}'
    assert name['size'] in backbone.init_cfg.checkpoint
    assert config.train_dataloader.batch_size == int(name['batch'])
    assert config.auto_scale_lr.base_batch_size == int(name['gpus']) * int(name['batch'])
    if name['schedule'].endswith('k'):
        assert config.train_cfg.max_iters == 1000 * int(name['schedule'][:-1])
        assert config.param_scheduler[-1].end == config.train_cfg.max_iters
    assert config.custom_imports == dict(imports=['daga_mm.compat'], allow_failed_imports=False)
    assert 'daga_mm.ProvenanceHook' in [hook['type'] for hook in config.custom_hooks]


@pytest.mark.parametrize('path', CONFIGS, ids=IDS)
def test_config_builds_and_trains_the_right_part(path):
    torch.manual_seed(0)
    config = shrink(Config.fromfile(path))
    init_default_scope(config.default_scope)
    model = MODELS.build(config.model)
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    kind = NAME.fullmatch(path.stem)['kind']
    assert any(name.startswith('backbone.trunk.') for name in trained) == (kind == 'full')
    assert any(name.startswith('backbone.adapters.') for name in trained) == (kind == 'daga')
    assert trained - {name for name in trained if name.startswith('backbone.')}, 'no head is trained'

    wrapper = build_optim_wrapper(model, config.optim_wrapper)
    held = [id(p) for group in wrapper.optimizer.param_groups for p in group['params']]
    assert sorted(held) == sorted(id(p) for p in model.parameters() if p.requires_grad)

    outputs = RUN[config.default_scope](model)
    assert outputs and all(output.isfinite().all() for output in outputs)


def segment(model) -> list[torch.Tensor]:
    """Raw scores of one image."""
    with torch.no_grad():
        return [model.eval()(torch.randn(1, 3, 64, 96), mode='tensor')]


def detect(model) -> list[torch.Tensor]:
    """Every loss on one image with a few objects."""
    from mmdet.testing import demo_mm_inputs

    batch = demo_mm_inputs(1, [[3, 64, 96]], num_items=[3], num_classes=80, with_mask=True)
    losses = model(**model.data_preprocessor(batch, True), mode='loss')
    return [t for value in losses.values() for t in (value if isinstance(value, list) else [value])]


RUN = {'mmseg': segment, 'mmdet': detect}
