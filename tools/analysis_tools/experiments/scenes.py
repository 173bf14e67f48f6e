"""The demo's synthetic scenes, dense tasks: one task, one method, one seed, one learning rate."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from costs.meter import PeakMemory
from mmengine.runner import Runner
from rivals import add_lora

from daga_mm.backbones import DAGAViT
from daga_mm.cli.config import load_config
from daga_mm.registry import MODELS

from . import forms  # noqa: F401  (registers GuidanceForm)
from .paths import Paths

DEMO = Path(__file__).parents[3] / 'demo'
TASKS = {
    'segmentation': ('upernet_scenes.py', 'ade20k/ADEChallengeData2016', {'mIoU': 'mIoU'}),
    'detection': (
        'mask_rcnn_scenes.py',
        'coco',
        {'coco/bbox_mAP': 'box AP', 'coco/segm_mAP': 'mask AP'},
    ),
    'depth': ('depth_scenes.py', 'nyu', {'d1': 'd1', 'rmse': 'RMSE, m'}),
}
SECONDS = {'segmentation': 100, 'detection': 280, 'depth': 100}  # of a run, about
METHODS = {
    'frozen': 'neck and head alone',
    'daga': 'DAGA behind four blocks',
    'heads': "the same with gate='heads'",
    'lora': 'LoRA (peft) on the attention of every block, of the size of DAGA',
    'full': 'full fine-tuning, rates falling by 0.75 from block to block',
}


@MODELS.register_module()
class LoRAViT(DAGAViT):
    """The frozen trunk with LoRA, of the size that DAGA would have with the same arguments."""

    def __init__(self, **kwargs: Any) -> None:
        with torch.device('meta'):
            size = sum(p.numel() for p in DAGAViT(**kwargs).adapters.parameters())
        super().__init__(**{**kwargs, 'daga_layers': ()})
        super().init_weights()  # before LoRA gives the projections other names
        add_lora(self, size)

    def init_weights(self) -> None:
        """The weights are there already."""


def write(paths: Paths) -> None:
    """300 training scenes and 200 test scenes in three layouts, and 60 others on which learning rates are chosen."""
    layouts = [root.partition('/')[0] for _, root, _ in TASKS.values()]
    for name, seed, train, val in (('test', 0, 300, 200), ('validation', 1, 1, 60)):
        command = [sys.executable, DEMO / 'make_scenes.py', '--out', paths.scenes / name, '--formats', *layouts]
        options = ['--seed', seed, '--train', train, '--val', val]
        if not (paths.scenes / name).exists():
            print(f'drawing synthetic scenes in {paths.scenes / name}', flush=True)
        # What is there stays; what was broken off is finished.
        subprocess.run([*map(str, command), *map(str, options)], check=True, stdout=subprocess.DEVNULL)


def method_options(method: str, backbone: dict[str, Any]) -> dict[str, Any]:
    """What makes one of METHODS of a demo's config; ``backbone`` changes the arguments of GuidanceForm, for DAGA."""
    options: dict[str, Any] = {'model.backbone.guidance.source': 'inline'}
    if method == 'daga':
        options['model.backbone.type'] = 'daga_mm.GuidanceForm'
        options |= {f'model.backbone.{name}': value for name, value in backbone.items()}
    elif method == 'heads':
        options['model.backbone.daga_cfg.gate'] = 'heads'
    elif method == 'lora':
        options['model.backbone.type'] = 'daga_mm.LoRAViT'
    else:
        options['model.backbone.daga_layers'] = ()
        if method == 'full':
            options |= {'model.backbone.frozen': False, 'optim_wrapper.paramwise_cfg.layer_decay_rate': 0.75}
    return options


def start_alike(model: Any, config: Any, seed: int) -> None:
    """Give necks and heads the weights that they have with this seed on the plain trunk.

    What is in a backbone is drawn before them, and not every part of them is drawn anew when weights are initialised.
    """
    trunk = {key: value for key, value in config.model.backbone.items() if key in ('arch', 'out_indices', 'with_image')}
    torch.manual_seed(seed)
    plain = MODELS.build({**config.model, 'backbone': dict(type='daga_mm.DAGAViT', daga_layers=(), **trunk)})
    for name, part in plain.named_children():
        if name != 'backbone':
            getattr(model, name).load_state_dict(part.state_dict())
    torch.manual_seed(seed)  # what is drawn anew is drawn alike, too


def run(
    paths: Paths,
    task: str,
    method: str,
    seed: int,
    lr: float,
    on: str = 'test',
    epochs: int | None = None,
    **backbone: Any,
) -> dict[str, Any]:
    """Train the demo's config of a task with one method and evaluate it.

    Args:
        paths: Where the scenes are.
        task: One of TASKS.
        method: One of METHODS.
        seed: Of everything random.
        lr: The largest learning rate.
        on: 'test', or 'validation' for the choice of a learning rate.
        epochs: In place of the config's, where it counts epochs.
        **backbone: Changes to the arguments of GuidanceForm, for DAGA.

    Returns:
        The task's standard ``metrics``, the first of which is the ``score``; ``trained`` parameters, ``seconds`` of a
        median iteration, ``peak_mb``.
    """
    file, root, metrics = TASKS[task]
    data = {part: paths.scenes / split / root for part, split in (('train', 'test'), ('val', on), ('test', on))}
    options: dict[str, Any] = {f'{part}_dataloader.dataset.data_root': str(path) for part, path in data.items()}
    if task == 'detection':
        for part in ('val', 'test'):
            options[f'{part}_evaluator.ann_file'] = str(data[part] / 'annotations/instances_val2017.json')
    if epochs is not None:
        options |= {f'train_cfg.{key}': epochs for key in ('max_epochs', 'val_interval')}
        options |= {'param_scheduler.1.milestones': [epochs - 1], 'param_scheduler.1.end': epochs}
    options |= {'optim_wrapper.optimizer.lr': lr, **method_options(method, backbone)}
    work_dir = paths.work / 'runs' / f'{task}_{method}_{seed}_{os.getpid()}'
    config = load_config(DEMO / file, options, work_dir=str(work_dir))
    config.randomness = dict(seed=seed)
    config.default_hooks.checkpoint = None
    config.env_cfg.cudnn_benchmark = False  # which takes the fastest convolution of the moment, not the same one
    meter = PeakMemory(paths.device)
    runner = Runner.from_cfg(config)
    start_alike(runner.model, config, seed)
    runner.train()
    hub = runner.message_hub
    found = {title: hub.get_scalar(f'val/{key}').current() for key, title in metrics.items()}
    return dict(
        score=next(iter(found.values())),
        metrics=found,
        trained=sum(p.numel() for p in runner.model.parameters() if p.requires_grad),
        seconds=float(np.median(hub.get_scalar('train/time').data[0])),
        peak_mb=meter.mb(),
    )
