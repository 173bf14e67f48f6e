import sys

import pytest
import torch
from mmcv.ops import MultiScaleDeformableAttention, multi_scale_deform_attn
from mmengine.config import ConfigDict
from mmengine.hub import get_config
from mmengine.registry import DefaultScope
from torch import Tensor
from torch.utils import _pytree as pytree

from ...commands import run

SHAPES = torch.tensor([[4, 6], [3, 2]])
STARTS = torch.tensor([0, 24])


def some_inputs(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    """Value (2, 30, 2, 3), locations (2, 4, 2, 2, 3, 2), some of them outside, and weights (2, 4, 2, 2, 3)."""
    generator = torch.Generator().manual_seed(0)
    value = torch.randn(2, 30, 2, 3, generator=generator, dtype=torch.float64)
    locations = 1.4 * torch.rand(2, 4, 2, 2, 3, 2, generator=generator, dtype=torch.float64) - 0.2
    weights = torch.rand(2, 4, 2, 2, 3, generator=generator, dtype=torch.float64)
    return tuple(tensor.to(dtype).requires_grad_() for tensor in (value, locations, weights))


def reference(value: Tensor, locations: Tensor, weights: Tensor) -> Tensor:
    """The definition, point by point: a pixel counts by how near it is, if it is nearer than 1 on both axes."""
    batch, queries, heads, _, points = weights.shape
    output = []
    for b, n, m in torch.cartesian_prod(*map(torch.arange, (batch, queries, heads))).tolist():
        attended = 0
        for level, (h, w) in enumerate(SHAPES.tolist()):
            pixels = value[b, STARTS[level] : STARTS[level] + h * w, m].view(h, w, -1)
            for p in range(points):
                x, y = (locations[b, n, m, level, p] * torch.tensor([w, h]) - 0.5).unbind()
                near_y, near_x = (1 - (y - torch.arange(h)).abs()).relu(), (1 - (x - torch.arange(w)).abs()).relu()
                sample = torch.einsum('h,w,hwd->d', near_y, near_x, pixels)
                attended = attended + weights[b, n, m, level, p] * sample
        output.append(attended)
    return torch.stack(output).view(batch, queries, -1)


def for_the_cpu(value: Tensor, locations: Tensor, weights: Tensor) -> Tensor:
    return multi_scale_deform_attn.multi_scale_deformable_attn_pytorch(value, SHAPES, locations, weights)


def for_cuda(value: Tensor, locations: Tensor, weights: Tensor) -> Tensor:
    function = multi_scale_deform_attn.MultiScaleDeformableAttnFunction
    return function.apply(value, SHAPES, STARTS, locations, weights, 64)


@pytest.mark.parametrize('function', [for_the_cpu, for_cuda])
def test_values_and_gradients(function):
    inputs = some_inputs()
    output, expected = function(*inputs), reference(*inputs)
    torch.testing.assert_close(output, expected)
    direction = torch.randn(output.shape, dtype=output.dtype)
    pairs = zip(*(torch.autograd.grad(y, inputs, direction) for y in (output, expected)), strict=True)
    for gradient, wanted in pairs:
        torch.testing.assert_close(gradient, wanted)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision(dtype):
    inputs = some_inputs(dtype)
    output = for_cuda(*inputs)
    gradients = torch.autograd.grad(output.float().sum(), inputs)
    assert all(tensor.dtype == dtype for tensor in (output, *gradients))
    wide = [tensor.detach().float().requires_grad_() for tensor in inputs]
    expected = for_cuda(*wide)
    torch.testing.assert_close(output, expected.to(dtype))
    for gradient, wanted in zip(gradients, torch.autograd.grad(expected.sum(), wide), strict=True):
        torch.testing.assert_close(gradient, wanted.to(dtype))


@pytest.mark.parametrize('first', ['mmcv._ext', 'mmcv.ops.multi_scale_deform_attn'])
def test_it_is_in_its_place_whatever_is_imported_first(first):
    code = f"""if True:
        import daga_mm.compat, {first}
        from mmcv.ops.multi_scale_deform_attn import multi_scale_deformable_attn_pytorch as attend
        assert attend.__wrapped__.__name__ == 'multi_scale_deformable_attn_pytorch'"""
    run(sys.executable, '-W', 'ignore', '-c', code)


def test_the_layer_trains_on_the_cpu_without_grid_sample(monkeypatch):
    monkeypatch.delattr(torch.nn.functional, 'grid_sample')
    layer = MultiScaleDeformableAttention(embed_dims=8, num_heads=2, num_levels=2, num_points=3, batch_first=True)
    query, value = torch.randn(2, 4, 8), torch.randn(2, 30, 8)
    layer(
        query,
        value=value,
        reference_points=torch.rand(2, 4, 2, 2),
        spatial_shapes=SHAPES,
        level_start_index=STARTS,
    ).square().sum().backward()
    assert all(parameter.grad.isfinite().all() and parameter.grad.any() for parameter in layer.parameters())


def dino() -> ConfigDict:
    model = get_config('mmdet::dino/dino-4scale_r50_8xb2-12e_coco.py').model
    model.backbone.out_indices, model.neck.in_channels = (1, 2, 3), [128, 256, 512]
    model.encoder.num_layers = model.decoder.num_layers = 2
    model.num_queries = 20
    return model


def mask2former() -> ConfigDict:
    model = get_config('mmdet::mask2former/mask2former_r50_8xb2-lsj-50e_coco.py').model
    model.panoptic_head.in_channels = [64, 128, 256, 512]
    model.panoptic_head.pixel_decoder.encoder.num_layers = model.panoptic_head.transformer_decoder.num_layers = 2
    model.panoptic_head.num_queries = 20
    model.data_preprocessor.batch_augments = None  # they pad to 1024²
    return model


@pytest.fixture
def doubles():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize(('config', 'count', 'mode'), [(dino, 4, 'loss'), (mask2former, 2, 'tensor')])
def test_upstreams_heads_compute_the_same_with_it(config, count, mode, monkeypatch, doubles):
    """In float64: in float32 one rounding more turns a ReLU, or a query of the two-stage choice."""
    pytest.importorskip('mmdet')
    from mmdet.registry import MODELS
    from mmdet.testing import demo_mm_inputs

    model = config()
    model.backbone.update(depth=18, init_cfg=None)
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(model)
    model.init_weights()
    model.double()  # not all of it is
    layers = [module for module in model.modules() if isinstance(module, MultiScaleDeformableAttention)]
    assert len(layers) == count
    for layer in layers:  # a fresh one reads whole pixels, where a gradient has two sides
        for parameter in (*layer.sampling_offsets.parameters(), *layer.attention_weights.parameters()):
            torch.nn.init.normal_(parameter, std=0.1)
    samples = demo_mm_inputs(1, [[3, 64, 96]], num_items=[3], num_classes=80, with_mask=True)
    batch = model.data_preprocessor(samples, training=True)
    for sample in batch['data_samples']:
        sample.gt_instances.bboxes = sample.gt_instances.bboxes.double()

    def compute() -> list[Tensor]:
        torch.manual_seed(1)  # of the denoising queries
        model.zero_grad()
        outputs = pytree.tree_leaves(model(batch['inputs'].double(), batch['data_samples'], mode=mode))
        outputs = [x for x in outputs if isinstance(x, Tensor) and x.requires_grad]
        sum(x.square().mean() for x in outputs).backward()
        return [x.detach() for x in outputs] + [p.grad for p in model.parameters() if p.grad is not None]

    ours = compute()
    by_grid_sample = multi_scale_deform_attn.multi_scale_deformable_attn_pytorch.__wrapped__
    monkeypatch.setattr(multi_scale_deform_attn, 'multi_scale_deformable_attn_pytorch', by_grid_sample)
    for mine, theirs in zip(ours, compute(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-9)
