"""Every task's config as a run of seconds on synthetic data."""

from pathlib import Path

from mmengine.config import Config

from daga_mm.cli.config import load_config
from demo.scenes.writers import WRITERS

from .configs.shrink import shrink
from .conftest import REPOSITORY, daga

CONFIGS = {
    'segmentation': 'mmseg/upernet_daga-vits16_vitadapter_8xb2-160k_ade20k-512x512.py',
    'detection': 'mmdet/mask-rcnn_daga-vits16_vitadapter_8xb2-1x_coco.py',
    'depth': 'depth/depth_daga-vits16_linear_8xb2-38400iters_nyu-416x544.py',
    'depth by epochs': 'depth/depth_daga-vits16_dpt_8xb2-25e_nyu-416x544.py',
    'classification': 'mmpretrain/image-classifier_daga-vits16_linear_8xb128-30e_cifar10.py',
    'linear': 'mmpretrain/linear_cifar10.py',
    'knn': 'mmpretrain/knn_cifar10.py',
    'logreg': 'mmpretrain/logreg_cifar10.py',
}
TRAINED = ('segmentation', 'detection', 'depth', 'classification', 'linear')
SIZE = (64, 64)
ITERATIONS = 2


def write_data(task: str, folder: Path) -> Path:
    """Images whose number no even number divides: 5 and 3, or 15 and 15 where there are 14 classes."""
    kind = {'segmentation': 'ade20k', 'detection': 'coco', 'depth': 'nyu'}.get(task.split()[0], 'imagenet')
    few = (15, 15) if kind == 'imagenet' else (5, 3)
    root = WRITERS[kind](folder / kind, *few, seed=3, size=SIZE)
    return root / 'ADEChallengeData2016' if kind == 'ade20k' else root


def small_config(task: str, data: Path, weights: Path, work_dir: Path) -> Config:
    """The task's config with a small trunk, small images and few iterations.

    Args:
        task: One of ``CONFIGS``.
        data: What :func:`write_data` wrote.
        weights: A file with a small trunk; for probes, with DAGA modules too.
        work_dir: Where the run's files go.
    """
    options: dict = {'log_level': 'INFO', 'randomness': dict(seed=0), 'default_hooks.logger.interval': 1}
    config = load_config(REPOSITORY / 'configs' / CONFIGS[task], options, work_dir=str(work_dir))
    root = {'segmentation': 'ade20k_root', 'detection': 'coco_root', 'depth': 'nyu_root'}.get(
        task.split()[0], 'cifar10_root'
    )
    config = Config(_replace(config.to_dict(), config[root], str(data)))
    loaders = [config.test_dataloader, config.get('train_dataloader'), config.get('val_dataloader')]
    loaders.append(config.test_cfg.get('train_dataloader'))
    for loader in filter(None, loaders):
        loader.update(num_workers=0, persistent_workers=False, pin_memory=False)
        for step in loader.dataset.pipeline:
            _SMALLER.get(step.type, lambda step: None)(step)
    if 'head' in config.model and task == 'classification':
        config.model.head.num_classes = 14
        config.test_evaluator.topk = config.val_evaluator.topk = (1,)
    for holder in (config.model, config.test_cfg):
        if 'num_classes' in holder:
            holder.num_classes = 14
    for loader in (config.test_dataloader, config.get('val_dataloader')):
        if loader and loader.dataset.get('data_prefix') == 'test':
            loader.dataset.data_prefix = 'val'  # the folder's name in ImageNet's layout
    if task.split()[0] in ('segmentation', 'depth'):
        config.model.data_preprocessor.size = SIZE
    if task == 'segmentation':
        config.model.test_cfg.update(crop_size=SIZE, stride=(43, 43))
    if task.startswith('depth'):
        config.val_evaluator.crop_type = config.test_evaluator.crop_type = None
        losses = config.model.decode_head.loss_decode
        for loss in losses if isinstance(losses, list) else [losses]:
            if loss.type == 'daga_mm.SigLogLoss':
                loss.warm_up_iters = 1
    if task == 'detection':
        config.train_dataloader.dataset.filter_cfg.min_size = 1
        config.model.test_cfg.rcnn.score_thr = 0.0  # what has seen 8 images is sure of nothing
    if task in TRAINED:
        config.train_dataloader.batch_size = 4 if task == 'linear' else 2  # two processes see every image
        config.param_scheduler = []  # a warm-up's first steps are too small to be seen
        if config.train_cfg.get('max_iters'):
            config.train_cfg.update(max_iters=ITERATIONS, val_interval=ITERATIONS)
            config.default_hooks.checkpoint.interval = ITERATIONS
        else:
            config.train_cfg.update(max_epochs=1)
        if task not in ('linear', 'detection'):  # a detector would find nothing any more
            config.optim_wrapper.optimizer.lr = 1e-2
    if task in ('knn', 'logreg'):
        config.test_cfg.cache_dir = str(work_dir / 'features')
    if task == 'logreg':
        config.test_cfg.update(cs=(1e-2, 1.0), val_fraction=0.2)
    if task in ('linear', 'knn', 'logreg'):
        config.load_from = str(weights)
        config = shrink(config)
    else:
        config = shrink(config, weights)
    config.model.backbone.adapter = daga()  # that of the weights
    return config


_SMALLER = {
    'Resize': lambda step: step.update(scale=32 if isinstance(step.scale, int) else (64, 64)),
    'RandomResize': lambda step: step.update(scale=(128, 64)),
    'RandomResizedCrop': lambda step: step.update(scale=32),
    'ResizeEdge': lambda step: step.update(scale=36),
    'CenterCrop': lambda step: step.update(crop_size=32),
    'RandomCrop': lambda step: step.update(crop_size=SIZE) if isinstance(step.crop_size, tuple | list) else None,
    'daga_mm.FixedCrop': lambda step: step.update(box=(0, SIZE[0], 0, SIZE[1])),
}


def _replace(value, old: str, new: str):
    if isinstance(value, dict):
        return {key: _replace(inner, old, new) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_replace(inner, old, new) for inner in value)
    return value.replace(old, new) if isinstance(value, str) else value
