"""One step of training with every adapter in every framework, through its config, its optimiser and its losses.

`make test` takes one framework for each adapter, `make test-slow` all of them.
"""

from typing import Any

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope
from mmengine.structures import PixelData

from daga_mm.cli.config import load_config
from daga_mm.cli.parser import add_config, make_parser

from ..conftest import REPOSITORY, spread_out, train_adapters
from .shrink import shrink

SIZE = (64, 96)
CONFIGS = {
    'mmdet': 'mask-rcnn_daga-vitb16_vitadapter_8xb2-1x_coco',
    'mmseg': 'upernet_daga-vitb16_vitadapter_8xb2-160k_ade20k-512x512',
    'mmpretrain': 'image-classifier_daga-vitb16_linear_8xb128-30e_in1k',
    'depth': 'depth_daga-vitb16_dpt_8xb2-25e_nyu-416x544',
}
ADAPTERS = {  # arguments of the command line
    **{name: f'--adapter {name}' for name in ('none', 'daga', 'lora', 'adaptformer', 'mona', 'bitfit', 'last_blocks')},
    'daga and lora': '--cfg-options model.backbone.adapter=daga,lora',
    'full': '',  # fine-tuning has configs of its own
}
CASES = [
    pytest.param(adapter, framework, marks=[] if (i + j) % len(CONFIGS) == 0 else pytest.mark.slow)
    for i, adapter in enumerate(ADAPTERS)
    for j, framework in enumerate(CONFIGS)
]


def detections() -> dict[str, Any]:
    from mmdet.testing import demo_mm_inputs

    return demo_mm_inputs(2, [[3, *SIZE]] * 2, num_items=[3, 2], num_classes=80, with_mask=True)


def segmentations(**truth: torch.Tensor) -> dict[str, Any]:
    from mmseg.structures import SegDataSample

    truth = truth or {'gt_sem_seg': torch.randint(150, (1, *SIZE))}
    samples = [SegDataSample(**{key: PixelData(data=value) for key, value in truth.items()}) for _ in range(2)]
    return dict(inputs=list(torch.randint(256, (2, 3, *SIZE), dtype=torch.uint8)), data_samples=samples)


def classifications() -> dict[str, Any]:
    from mmpretrain.structures import DataSample

    images = torch.randint(256, (2, 3, *SIZE), dtype=torch.uint8)
    return dict(inputs=images, data_samples=[DataSample().set_gt_label(label) for label in (0, 9)])


BATCHES = {
    'mmdet': detections,
    'mmseg': segmentations,
    'mmpretrain': classifications,
    'depth': lambda: segmentations(gt_depth_map=0.1 + 9 * torch.rand(1, *SIZE)),
}


@pytest.mark.parametrize(('adapter', 'framework'), CASES)
def test_a_step_moves_what_is_trained_and_nothing_else(adapter, framework):
    name = CONFIGS[framework].replace('daga', 'full') if adapter == 'full' else CONFIGS[framework]
    parser = make_parser(None)
    add_config(parser)
    args = parser.parse_args([f'{REPOSITORY}/configs/{framework}/{name}.py', *ADAPTERS[adapter].split()])
    config = shrink(load_config(args.config, args.cfg_options))
    if 'size' in config.model.data_preprocessor:
        config.model.data_preprocessor.size = SIZE
    init_default_scope(config.default_scope)
    torch.manual_seed(0)
    model = MODELS.build(config.model).train()
    spread_out(model.backbone.trunk)
    train_adapters(model.backbone)
    before = {key: value.detach().clone() for key, value in model.named_parameters()}
    wrapper = build_optim_wrapper(model, config.optim_wrapper)
    wrapper.zero_grad = lambda: None  # after the step

    losses = model.train_step(BATCHES[framework](), wrapper)

    assert all(value.isfinite().all() for value in losses.values()) and losses['loss'] > 0
    groups = {id(p): group for group in wrapper.optimizer.param_groups for p in group['params']}
    own = {'none': 0, 'full': 0, 'daga and lora': 2}.get(adapter, 1)
    assert len(model.backbone.adapters) == own
    for key, parameter in model.named_parameters():
        moved = not torch.equal(parameter, before[key])
        if not parameter.requires_grad:
            assert not moved and parameter.grad is None and id(parameter) not in groups, key
            continue
        assert parameter.grad is not None and parameter.grad.isfinite().all(), key
        if parameter.grad.abs().max() > 1e-6:  # a float32 of 1 shows no less
            assert moved, key
        elif not parameter.grad.any() and groups[id(parameter)]['weight_decay'] == 0:
            assert not moved, key
        if own and key.startswith('backbone.'):
            assert parameter.grad.any(), key
    trained = [key for key, p in model.named_parameters() if p.requires_grad and key.startswith('backbone.')]
    assert bool(trained) == (adapter != 'none')
