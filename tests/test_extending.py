"""docs/extending.md, as it stands: its trunks build, and its adapter keeps the promises that it lists."""

import re
import sys

import pytest
import torch

from daga_mm.backbones import DAGAViT
from daga_mm.cli.config import load_config
from daga_mm.registry import ADAPTERS, MODELS
from daga_mm.visualization.model_report import report

from .conftest import REPOSITORY, TINY, train_adapters

TRUNKS, ADAPTER, CONFIG = re.findall(
    r'```python\n(.*?)```', (REPOSITORY / 'docs/extending.md').read_text(), flags=re.DOTALL
)


@pytest.fixture(scope='module')
def config(tmp_path_factory):
    """The page's config, beside the page's module."""
    folder = tmp_path_factory.mktemp('extending')
    (folder / 'map_weighted.py').write_text(ADAPTER)
    (folder / 'map_weighted_ade20k.py').write_text(CONFIG)
    sys.path.insert(0, str(folder))
    try:
        yield load_config(folder / 'map_weighted_ade20k.py')
    finally:
        sys.path.remove(str(folder))
        sys.modules.pop('map_weighted', None)
        for name in ('map_weighted', 'MapWeighted'):
            ADAPTERS.module_dict.pop(name, None)


def build(config, **changes) -> DAGAViT:
    torch.manual_seed(0)
    small = dict(arch=TINY, init_cfg=None, with_image=False)
    return MODELS.build(config.model.backbone | small | changes)


def test_the_trunks_build():
    found: dict = {}
    with torch.device('meta'):
        exec(TRUNKS, found)
    assert found['dinov2'].patch_size == 14 and found['clip'].adapters['daga'].layers == (1, 2, 10, 11)
    assert list(found['siglip'].adapters) == ['lora'] and found['siglip'].trunk.num_prefix_tokens == 0
    assert found['small'].num_layers == len(found['small'].adapters['daga'].layers) == 6


def test_it_starts_as_the_identity_and_changes_patches_only(config, images):
    model = build(config, adapter=dict(type='MapWeighted', layers=(3,)), out_type='cls_avg').eval()
    before = model(images)[-1]  # [class token; mean patch] of the last block
    with model.without_adapters():
        assert torch.equal(before, model(images)[-1])
    train_adapters(model)
    after = model(images)[-1]
    assert torch.equal(after[:, : model.embed_dims], before[:, : model.embed_dims])
    assert not torch.allclose(after[:, model.embed_dims :], before[:, model.embed_dims :])


def test_every_parameter_gets_a_gradient(config, images):
    model = build(config).train()
    assert model.adapters['map_weighted'].bottlenecks['3'][1].out_features == 48
    train_adapters(model)
    sum((out * torch.randn_like(out)).sum() for out in model(images)).backward()
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    assert trained and all(name.startswith('adapters.map_weighted.') for name in trained)
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in trained.values())


def test_the_tools_take_it(config):
    found = report(config, (64, 64))
    assert found['adapters']['map_weighted']['layers'] == [1, 2, 10, 11]
    assert found['adapters']['map_weighted']['trained'] == 4 * (2 * 384 + 384 * 48 + 48 + 48 * 384 + 384)


def test_its_options_are_its_own(config):
    with pytest.raises(ValueError, match="MapWeighted .*'gate'.*DAGA.*layers, bott"):
        build(config, adapter=dict(type='MapWeighted', gate='token'))
