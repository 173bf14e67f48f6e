"""Small models of every task, as files of a run: a config and a checkpoint."""

from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope

from daga_mm.backbones.checkpoints import SCHEMA

from .configs.shrink import shrink
from .conftest import REPOSITORY, train_adapters

CONFIGS = {
    'detection': 'mmdet/mask-rcnn_daga-vits16_vitadapter_8xb2-1x_coco.py',
    'segmentation': 'mmseg/fcn_daga-vits16_linear_8xb2-40k_ade20k-512x512.py',
    'depth': 'depth/depth_daga-vits16_linear_8xb2-38400iters_nyu-416x544.py',
    'classification': 'mmpretrain/image-classifier_daga-vits16_linear_8xb128-30e_cifar10.py',
}
PANOPTIC = {'panoptic': 'mmdet/mask2former_daga-vits16_vitadapter_8xb2-ms-3x_coco-panoptic.py'}
HEADS = {
    'upernet': 'mmseg/upernet_daga-vits16_vitadapter_8xb2-160k_ade20k-512x512.py',
    'mask2former': 'mmseg/mask2former_daga-vits16_vitadapter_8xb2-160k_ade20k-640x640.py',
    'dpt': 'depth/depth_daga-vits16_dpt_8xb2-25e_nyu-416x544.py',
    'dino': 'mmdet/dino_daga-vitb16_vitadapter_8xb2-12e_coco.py',
}
SMALL = {  # images of 96×72 pixels, whole
    'detection': {'test_dataloader.dataset.pipeline.1.scale': (96, 64), 'model.test_cfg.rcnn.score_thr': 0.0},
    'segmentation': {
        'model.test_cfg': dict(_delete_=True, mode='whole'),
        'test_dataloader.dataset.pipeline.1.scale': (96, 72),
    },
    **{head: {'model.test_cfg': dict(_delete_=True, mode='whole')} for head in ('upernet', 'mask2former')},
    'panoptic': {'test_dataloader.dataset.pipeline.1.scale': (96, 64), 'model.panoptic_head.num_queries': 10},
}
NUMBERS = {'detection': 80, 'segmentation': 150, 'classification': 10, 'panoptic': 133}  # of classes


def save_model(
    task: str, folder: Path, trunk: str | None = None, backbone: dict | None = None, **changes
) -> tuple[Path, Path]:
    """A config and a checkpoint of a small model, its adapters as if trained.

    Args:
        task: One of ``CONFIGS`` or ``HEADS``, or 'panoptic'.
        folder: Where they go.
        trunk: A file that `write_trunk` wrote, which the checkpoint leaves out; None: a random one, in the checkpoint.
        backbone: Changes to its config, such as another adapter.
        **changes: To the config, by dotted names.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config = shrink(Config.fromfile(REPOSITORY / 'configs' / (CONFIGS | HEADS | PANOPTIC)[task]), trunk)
    config.merge_from_dict(SMALL.get(task, {}) | changes)
    config.model.backbone.update(backbone or {})
    config.dump(folder / 'config.py')  # before mmdet's models change it
    with DefaultScope.overwrite_default_scope(config.default_scope):
        torch.manual_seed(0)
        model = MODELS.build(config.model)
    if trunk:
        model.backbone.init_weights()
    train_adapters(model.backbone)
    state, meta = model.state_dict(), {'daga_mm_schema': SCHEMA}
    model.backbone.finish_state_dict(state, 'backbone.')
    if task in NUMBERS:
        classes = [f'class {i}' for i in range(NUMBERS[task])]
        meta['dataset_meta'] = dict(classes=classes, palette=[[i, 255 - i, i] for i in range(len(classes))])
    torch.save({'state_dict': state, 'meta': meta}, folder / 'run.pth')
    return folder / 'config.py', folder / 'run.pth'
