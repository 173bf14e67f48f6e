"""Parameters, FLOPs and memory of configs, counted without weights or memory; the list of configs."""

import json

import pytest
import torch
from mmengine.registry import MODELS, init_default_scope
from torch.utils.flop_counter import FlopCounterMode, flop_registry

from daga_mm.backbones import DAGAViT
from daga_mm.cli.config import load_config
from daga_mm.visualization import model_report

from ..configs.shrink import shrink
from ..conftest import REPOSITORY, TINY
from .conftest import call, load_tool

FCN = REPOSITORY / 'configs/mmseg/fcn_daga-vits16_linear_8xb2-40k_ade20k-512x512.py'
CONFIGS = {
    'configs/mmseg/upernet_daga-vits16_vitadapter_8xb2-160k_ade20k-512x512.py': (512, 512),
    'configs/mmdet/cascade-mask-rcnn_daga-vitb16_vitadapter_8xb2-ms-3x_coco.py': (1024, 1024),
    'configs/mmdet/mask2former_daga-vits16_vitadapter_8xb2-ms-3x_coco-panoptic.py': (800, 1344),
    'configs/mmdet/dino_full-vitb16_vitadapter_8xb2-12e_coco.py': (800, 1333),
    'configs/mmseg/mask2former_daga-vits16_vitadapter_8xb2-160k_ade20k-640x640.py': (640, 640),
    'configs/depth/depth_full-vitb16_dpt_8xb2-25e_nyu-416x544.py': (416, 544),
    'configs/mmpretrain/linear_in1k.py': (224, 224),
    'configs/mmpretrain/knn_cifar10.py': (224, 224),
}
NOT_RUN = {  # parts that look at values: queries, samples
    'mask2former_daga-vits16_vitadapter_8xb2-ms-3x_coco-panoptic.py': {'panoptic_head'},
    'dino_full-vitb16_vitadapter_8xb2-12e_coco.py': {
        'encoder', 'decoder', 'bbox_head', 'query_embedding', 'memory_trans_fc', 'memory_trans_norm',
        'dn_query_generator', 'level_embed',
    },
    'mask2former_daga-vits16_vitadapter_8xb2-160k_ade20k-640x640.py': {'decode_head'},
}  # fmt: skip


@pytest.fixture(scope='module')
def listed():
    """The rows of the list, by config."""
    tool = load_tool('list_configs')
    return {row['config']: row for task in tool.TASKS for row in tool.list_configs(task)}


def test_the_list_has_every_config(listed):
    existing = {str(path.relative_to(REPOSITORY)) for path in (REPOSITORY / 'configs').glob('[dm]*/*.py')}
    assert set(listed) == existing
    assert {(row['method'], row['trunk']) for row in listed.values()} == {
        *((method, 'vitb16') for method in ('daga', 'lora', 'frozen', 'full')),
        ('daga', 'vits16'),
        ('any', 'any'),
    }
    assert {row['data'] for row in listed.values()} == {'ade20k', 'coco', 'nyu', 'in1k', 'cifar10', 'cifar100'}


def test_the_list_as_json_and_as_text(capsys):
    tool = load_tool('list_configs')
    assert call(tool, '--task', 'depth', '--json') is None
    rows = json.loads(capsys.readouterr().out)
    assert len(rows) == 10 and {row['task'] for row in rows} == {'depth'}
    assert call(tool, '--task', 'depth') is None
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split()[-1] == 'config' and [line.split()[-1] for line in lines] == [row['config'] for row in rows]


@pytest.mark.parametrize('name', CONFIGS)
def test_a_report_of_every_kind_of_model(name, listed):
    config = load_config(REPOSITORY / name)
    found = model_report.report(config, model_report.training_size(config))
    counts, row = found['parameters'], listed[name]
    assert tuple(found['size']) == CONFIGS[name]
    assert counts['total'] == row['total'], 'the metafile has another number'
    assert (counts['trained'] if config.get('train_cfg') else 0) == row['trained']
    assert sum(part['total'] for part in found['parts'].values()) == counts['total']
    assert bool(counts['added']) == ('daga' in found['adapters']) == (row['method'] in ('daga', 'any'))
    assert all(found['flops'].values()) and found['shapes']['backbone']
    assert set(found['not_run']) == NOT_RUN.get(name.rpartition('/')[2], set())
    assert (found['memory'] is None) == ('knn' in name)
    assert found['percent']['trained'] + found['percent']['frozen'] == pytest.approx(100)
    assert found['config'] and (REPOSITORY / name).samefile(found['config']) and found['dtype'] == 'float32'
    lines = model_report.text(found)
    assert f'{counts["frozen"]:,}' in lines
    assert f'{counts["trained"]:,}' in lines and ('parameters trained, blocks 1 2' in lines) == bool(counts['added'])


def test_numbers_equal_those_of_the_model_at_work():
    """FLOPs and what autograd keeps are those of real tensors; a GPU's attention keeps what the CPU's does."""
    config = shrink(load_config(FCN))
    config.model.data_preprocessor.size = (64, 96)
    config.model.backbone.adapter = dict(type='DAGA', layers=(1, 2, 3), guidance=dict(layer=-1))
    found = model_report.report(config, model_report.training_size(config))
    assert found['shapes']['backbone'] == [dict(shape=[48, 4, 6], stride=16)]

    init_default_scope('mmseg')
    model = MODELS.build(config.model).eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        maps = model.backbone(torch.randn(1, 3, 64, 96))
    # The counter has no formula for the CPU's attention: scores and their sums, 2 · 2 · heads · N² · d each.
    tokens, guided = 5 + 4 * 6, TINY['depth'] - 1 - 2  # the guidance runs on alone between the first DAGA and its block
    attention = 4 * tokens**2 * TINY['embed_dim'] * (TINY['depth'] + guided)
    if torch.ops.aten._scaled_dot_product_flash_attention_for_cpu in flop_registry:  # benchmark.py brings one along
        attention = 0
    assert found['flops']['backbone'] == counter.get_total_flops() + attention
    assert found['flops_trunk_alone'] < found['flops']['backbone']
    assert sum(found['flops'].values()) == found['flops_total']
    assert [list(output.shape[1:]) for output in maps] == [[48, 4, 6]]

    model.train()
    for module in model.modules():
        if isinstance(module, torch.nn.SyncBatchNorm | torch.nn.BatchNorm2d):
            module.eval()
    with model_report.kept_for_backward(model) as kept:
        scores = model.decode_head(model.neck(model.backbone(torch.randn(2, 3, 64, 96))))
        resized = torch.nn.functional.interpolate(scores, (64, 96), mode='bilinear')
        torch.nn.functional.cross_entropy(resized, torch.zeros(2, 64, 96, dtype=torch.long))
    real = sum(tensor.untyped_storage().nbytes() for tensor in kept)
    assert found['memory']['activations'] == pytest.approx(real, rel=0.02)
    assert found['memory']['optimizer'] == 2 * found['memory']['gradients'] == 8 * found['parameters']['trained']


@pytest.mark.parametrize('adapter', ['lora', 'bitfit', ['daga', 'lora'], None], ids=str)
def test_every_adapter_has_its_line(adapter):
    with torch.device('meta'):
        model = DAGAViT(arch=TINY, adapter=adapter)
    described = model_report.describe_adapters(model)
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert sum(one['trained'] for one in described.values()) == trained
    names = [line.split()[0] for line in model_report.describe(described)]
    assert names == (list(model.adapters) or ['none:'])


def test_json_and_an_unknown_size(tmp_path, capsys):
    knn = REPOSITORY / 'demo/cifar10_knn.py'
    tool = load_tool('analysis_tools/model_report')
    assert call(tool, knn) == 'the pipeline names no size of images: give --size HEIGHT WIDTH'
    assert call(tool, knn, '--size', 32, 32, '--json', tmp_path / 'report.json') is None
    found = json.loads((tmp_path / 'report.json').read_text())
    assert found['size'] == [32, 32] and 'blocks 1 2 4 5 counted from 0' in capsys.readouterr().out
