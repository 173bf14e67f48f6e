"""docs/extending.md, as it stands: its trunks build, and its adapter keeps the promises that it lists."""

import re
import sys

import pytest
import torch

from daga_mm.backbones import DAGAViT
from daga_mm.cli.config import load_config
from daga_mm.registry import MODELS
from daga_mm.visualization.model_report import report

from .conftest import REPOSITORY, TINY

TRUNKS, ADAPTER, CONFIG = re.findall(
    r'```python\n(.*?)```', (REPOSITORY / 'docs/extending.md').read_text(), flags=re.DOTALL
)


@pytest.fixture(scope='module')
def config(tmp_path_factory):
    """The page's config, beside the page's module."""
    folder = tmp_path_factory.mktemp('extending')
    (folder / 'map_weighted.py').write_text(ADAPTER)
    (folder / 'map_weighted_ade20k.py').write_text(CONFIG.replace("'configs/", f"'{REPOSITORY}/configs/"))
    sys.path.insert(0, str(folder))
    try:
        yield load_config(folder / 'map_weighted_ade20k.py')
    finally:
        sys.path.remove(str(folder))
        sys.modules.pop('map_weighted', None)
        MODELS.module_dict.pop('MapWeightedViT', None)


def build(config, **changes) -> DAGAViT:
    torch.manual_seed(0)
    small = dict(arch=TINY, daga_layers=(1, 3), init_cfg=None, with_image=False)
    return MODELS.build(config.model.backbone | small | changes)


def train_up(model: DAGAViT) -> None:
    for layer in model.adapters['layers'].values():
        torch.nn.init.normal_(layer.up.weight)


def test_the_trunks_build():
    found: dict = {}
    with torch.device('meta'):
        exec(TRUNKS, found)
    assert found['dinov2'].patch_size == 14 and found['clip'].daga_layers == (1, 2, 10, 11)
    assert found['small'].num_layers == len(found['small'].daga_layers) == 6


def test_it_starts_as_the_identity_and_changes_patches_only(config, images):
    model = build(config, daga_layers=(3,), out_type='cls_avg').eval()  # [class token; mean patch] of the last block
    assert model.adapters['layers']['3'].down.out_features == 48
    before = model(images)[-1]
    frozen = build(config, daga_layers=(), out_type='cls_avg', daga_cfg=None).eval()
    frozen.trunk.load_state_dict(model.trunk.state_dict())
    assert torch.equal(before, frozen(images)[-1])
    train_up(model)
    after = model(images)[-1]
    assert torch.equal(after[:, : model.embed_dims], before[:, : model.embed_dims])
    assert not torch.allclose(after[:, model.embed_dims :], before[:, model.embed_dims :])


def test_every_parameter_gets_a_gradient(config, images):
    model = build(config).train()
    train_up(model)
    torch.stack([out.square().mean() for out in model(images)]).sum().backward()
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    assert trained and all(name.startswith('adapters.layers.') for name in trained)
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in trained.values())


def test_the_tools_take_it(config):
    found = report(config, (64, 64))
    assert found['daga']['layers'] == [1, 2, 10, 11] and found['daga']['gate'] is None
    assert found['parts']['DAGA']['trained'] == 4 * (2 * 384 + 384 * 48 + 48 + 48 * 384 + 384)


def test_its_options_are_those_of_its_method(config):
    with pytest.raises(ValueError, match='daga_cfg has no gate; it takes bottleneck_dim'):
        build(config, daga_cfg=dict(gate='token'))
