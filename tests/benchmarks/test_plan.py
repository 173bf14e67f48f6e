"""Methods and data sets are files, and the plan is what they say."""

import pytest
import torch
from torch import nn

from daga_mm.backbones import DAGAViT
from daga_mm.cli.config import load_config
from daga_mm.engine import build_on_meta


def test_a_method_is_a_file(benchmark, folder):
    (folder / 'methods/mine.py').write_text("model = dict(backbone=dict(adapter=dict(type='LoRA', rank=3)))\n")
    plan = benchmark('plan').Plan(folder)
    mine = [cell for cell in plan.cells if cell.method == 'mine']
    tuned = [cell.rate for cell in mine if cell.part == 'tuning']
    assert tuned == list(benchmark('plan').RATES)
    assert [str(c) for c in mine if c.part == 'camvid' and c.core] == ['camvid_linear/mine/0']
    assert len([c for c in mine if c.part == 'camvid']) == 3
    (cell,) = (c for c in mine if str(c) == 'nyu_linear/mine/2')
    config = plan.config(cell, 2e-3, folder)
    assert config.model.backbone.adapter == dict(type='LoRA', rank=3)
    assert config.optim_wrapper.optimizer.lr == 2e-3 and config.randomness.seed == 2
    assert [tuning.dataset for tuning in plan.tuning(cell)] == ['camvid_linear'] * 3


def test_a_data_set_is_a_file(benchmark, folder):
    (folder / 'datasets/small.py').write_text(
        "_base_ = './camvid_linear.py'\nbenchmark = dict(part='small', rates_of='small', seeds=1)\n"
    )
    cells = benchmark('plan').Plan(folder).cells
    assert {c.part for c in cells if c.dataset == 'small'} == {'small', 'tuning'}
    assert {c.seed for c in cells if c.part == 'small' and c.core} == {0}


def test_the_core_plan_ends(plan):
    cells = [cell for cell in plan.cells if cell.core]
    assert len(cells) == len(set(map(str, cells))) <= 120


def test_methods_are_of_matched_size(benchmark, plan, tmp_path):
    run = benchmark('run')
    cells = {c.method: c for c in plan.cells if c.dataset == 'camvid_linear'}
    backbones = {m: plan.config(c, 1e-3, tmp_path).model.backbone for m, c in cells.items()}
    trained = {m: run.trained_parameters(run.build_backbone(backbone)) for m, backbone in backbones.items()}
    assert trained['frozen'] == 0 and trained['full'] == 22_056_192 and trained['daga'] == 672_644
    for name in ('lora', 'adaptformer', 'mona', 'daga_heads', 'daga_late', 'daga_lora'):
        assert abs(trained[name] - 575_000) < 15_000, name


@pytest.mark.parametrize(
    'name',
    [
        'camvid_upernet',
        'cifar10_linear',
        'nyu_dpt',
        'nyu_linear',
        'pennfudan_dino',
        'pennfudan_mask2former',
        'pennfudan_maskrcnn',
    ],
)
def test_every_data_set_is_a_config_that_builds(plan, name, tmp_path):
    (cell,) = (c for c in plan.cells if str(c) == f'{name}/full/0')
    plan.config(cell, 1e-3, tmp_path).dump(tmp_path / 'config.py')
    model = build_on_meta(load_config(tmp_path / 'config.py'))
    assert not model.backbone.frozen and model.backbone.embed_dims == 384


def test_a_control_takes_the_rate_of_its_method_and_reads_the_maps_of_other_images(plan, tmp_path):
    cells = [cell for cell in plan.cells if cell.method == 'daga_heads_others']
    assert {cell.dataset for cell in cells} == {'camvid_linear'} and {cell.part for cell in cells} == {'camvid'}
    assert {tuning.method for tuning in plan.tuning(cells[0])} == {'daga_heads'}
    options = dict(arch=dict(name='dinov3_vits16', embed_dim=48, depth=2, num_heads=3), out_indices=(1,))
    maps = {}
    for method in ('daga_heads', 'daga_heads_others'):
        torch.manual_seed(0)
        model = DAGAViT(**options, adapter=dict(plan.methods[method].model.backbone.adapter)).eval()
        for bottleneck in model.adapters['daga'].bottlenecks.values():
            nn.init.normal_(bottleneck.up.weight)
            nn.init.normal_(bottleneck.gate_generator.weight)
        maps[method] = [model(images)[0] for images in (torch.randn(2, 3, 32, 32), torch.zeros(1, 3, 32, 32))]
    own, others = maps.values()
    assert not torch.allclose(own[0], others[0], atol=1e-3) and torch.equal(own[1], others[1])
