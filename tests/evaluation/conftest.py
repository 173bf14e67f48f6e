"""Features in clusters; small images in ImageNet's layout; runs on them."""

import itertools
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

import daga_mm.compat  # noqa: F401 (mmpretrain imports mmcv's operators)
from demo.scenes import write_imagenet

from ..conftest import TINY, daga

NUMBERS = itertools.count()
PIPELINE = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=32),
    dict(type='PackInputs'),
]
BACKBONE = dict(type='daga_mm.DAGAViT', arch=TINY, adapter=daga(), out_indices=(-1,), out_type='cls_avg', init_cfg=None)
PREPROCESSOR = dict(
    type='mmpretrain.ClsDataPreprocessor', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True
)


def clusters(noise: float = 0.5, num_classes: int = 4, per_class: int = 20, dim: int = 8):
    """Training features and labels, test features and labels, of classes around random centres."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(num_classes, dim, generator=generator)
    sets = []
    for _ in range(2):
        labels = torch.arange(num_classes).repeat(per_class)
        sets += [centres[labels] + noise * torch.randn(len(labels), dim, generator=generator), labels]
    return sets


@pytest.fixture(scope='session')
def imagenet(tmp_path_factory) -> Path:
    """29 and 15 images of 14 of ImageNet's classes, in train/<wnid> and val/<wnid>."""
    return write_imagenet(tmp_path_factory.mktemp('imagenet') / 'in1k', 29, 15, seed=3, size=(48, 40))


@pytest.fixture(scope='session')
def checkpoint(tiny, tmp_path_factory) -> Path:
    """A classifier's file as a training run leaves it, with DAGA modules that do something; its head is of no use."""
    backbone = tiny(**{key: value for key, value in BACKBONE.items() if key != 'type'})
    state = {f'backbone.{key}': value for key, value in backbone.state_dict().items()}
    path = tmp_path_factory.mktemp('checkpoint') / 'daga.pth'
    torch.save({'state_dict': state | {'head.fc.weight': torch.zeros(14, 96), 'head.fc.bias': torch.zeros(14)}}, path)
    return path


def loader(root: Path, split: str, **options) -> dict:
    """The config of a data loader over a split; the classes are numbered 0 to 13."""
    return (
        dict(
            batch_size=4,
            num_workers=0,
            sampler=dict(type='DefaultSampler', shuffle=False),
            dataset=dict(
                type='CustomDataset', data_root=str(root), data_prefix=split, pipeline=PIPELINE, serialize_data=False
            ),
        )
        | options
    )


def build_runner(work_dir: Path, runner_class: type[Runner] = Runner, **options) -> Runner:
    """A runner, from a config like those of ``configs/mmpretrain``."""
    number = next(NUMBERS)
    config = dict(
        default_scope='mmpretrain',
        work_dir=str(work_dir),
        experiment_name=f'evaluation_{number}',
        custom_hooks=[dict(type='daga_mm.ProvenanceHook')],
        model=dict(type='ImageClassifier', backbone=BACKBONE, data_preprocessor=PREPROCESSOR),
        test_evaluator=[],
        visualizer=dict(
            type='UniversalVisualizer', vis_backends=[dict(type='LocalVisBackend')], name=f'evaluation_{number}'
        ),
        log_level='WARNING',
        randomness=dict(seed=0),
    )
    return runner_class.from_cfg(Config(config | options))
