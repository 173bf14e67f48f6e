"""Mask2Former and DINO-DETR on a few real images, their configs changed by options alone: they learn them by heart."""

import json
from pathlib import Path

import pytest

from .conftest import call, load_converter
from .test_train_real import ADE20K, COCO, LOADING, NEEDS, RUN, TRUNK, last_metrics, run

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not COCO.is_dir(), reason=f'no sample of COCO at {COCO}{NEEDS}'),
]

NECK = [
    'embed_dims=96',
    'conv_inplane=32',
    'num_heads=3',
    'drop_path_rate=0',
    'norm_cfg.type=GN',
    'norm_cfg.num_groups=32',
]
WIDTH = 64
HEAD = [  # Mask2Former's, narrow and short
    'in_channels=[96,96,96,96]', f'feat_channels={WIDTH}', f'out_channels={WIDTH}', 'num_queries=40',
    f'positional_encoding.num_feats={WIDTH // 2}', f'pixel_decoder.positional_encoding.num_feats={WIDTH // 2}',
    'pixel_decoder.encoder.num_layers=2', 'transformer_decoder.num_layers=3',
    *(f'{part}.layer_cfg.{attention}.{option}'
      for part, attentions in (
          ('pixel_decoder.encoder', ('self_attn_cfg',)),
          ('transformer_decoder', ('self_attn_cfg', 'cross_attn_cfg')),
      )
      for attention in attentions for option in (f'embed_dims={WIDTH}', 'num_heads=4')),
    *(f'{part}.layer_cfg.ffn_cfg.{option}' for part in ('pixel_decoder.encoder', 'transformer_decoder')
      for option in (f'embed_dims={WIDTH}', f'feedforward_channels={2 * WIDTH}')),
]  # fmt: skip


def subset(folder: Path, separator: str = ' ') -> tuple[Path, list[str]]:
    """24 objects of 13 classes on five images: their annotations, and the names of all of COCO's classes."""
    chosen = {106497, 294920, 499716, 501760, 524291}
    content = json.loads((COCO / 'annotations/instances_train2017.json').read_text())
    content['images'] = [image for image in content['images'] if image['id'] in chosen]
    content['annotations'] = [one for one in content['annotations'] if one['image_id'] in chosen]
    for category in content['categories']:
        category['name'] = category['name'].replace(' ', separator)
    assert len(content['annotations']) == 24 and len({one['category_id'] for one in content['annotations']}) == 13
    path = folder / 'instances_subset.json'
    path.write_text(json.dumps(content))
    return path, [category['name'] for category in content['categories']]


def learn(config: str, folder: Path, options: list[str], checkpoint: str) -> dict:
    """The metrics after training, of a test on the same images."""
    options = ['--work-dir', str(folder / 'run'), '--cfg-options', *TRUNK, *LOADING, *RUN, *options]
    run('train', config, *options)
    run('test', config, str(folder / 'run' / checkpoint), *options)
    return last_metrics(folder / 'run')


def on_coco(folder: Path, scale: str, annotations: Path, masks: str = '') -> list[str]:
    """Whole images as they are, of one scale, in training and in the test."""
    options = [
        f'coco_root={COCO}',
        'train_dataloader.dataset.pipeline.2.prob=0.0', 'train_dataloader.dataset.pipeline.3.prob=[1.0,0.0]',
        f'train_dataloader.dataset.pipeline.3.transforms.0.0.scales=[{scale}]',
        *(f'{split}_dataloader.dataset.pipeline.1.scale={scale}' for split in ('val', 'test')),
        *(f'{split}_dataloader.dataset.ann_file={annotations}' for split in ('train', 'val', 'test')),
        *(f'{split}_dataloader.dataset.data_prefix.img=train2017/' for split in ('val', 'test')),
    ]  # fmt: skip
    if masks:
        options += [f'{split}_dataloader.dataset.data_prefix.seg={masks}/' for split in ('train', 'val', 'test')]
    return options


def schedule(iterations: int, lr: float) -> list[str]:
    return [
        f'optim_wrapper.optimizer.lr={lr}', f'param_scheduler.end={iterations}',
        f'param_scheduler.milestones=[{iterations * 4 // 5}]', f'train_cfg.max_iters={iterations}',
        'train_cfg.dynamic_intervals=None', f'default_hooks.checkpoint.interval={iterations}',
    ]  # fmt: skip


def mask2former(task: str) -> str:
    return f'configs/mmdet/mask2former_daga-vits16_vitadapter_8xb2-ms-3x_coco-{task}.py'


def test_five_images_are_segmented_into_things_and_the_rest(tmp_path):
    iterations = 300
    annotations, names = subset(tmp_path, separator='_')  # options have no spaces in lists
    assert call(load_converter('coco_panoptic'), annotations, tmp_path) is None
    panoptic = tmp_path / 'panoptic_subset.json'
    options = [
        *on_coco(tmp_path, '(320,240)', panoptic, str(tmp_path / 'panoptic_subset')), *schedule(iterations, 1e-3),
        *(f'model.neck.{option}' for option in NECK), *(f'model.panoptic_head.{option}' for option in HEAD),
        *(f'model.{head}.num_stuff_classes=1' for head in ('panoptic_head', 'panoptic_fusion_head')),
        f'model.panoptic_head.loss_cls.class_weight=[{",".join(81 * ["1.0"])},0.1]', 'model.train_cfg.num_points=3136',
    ]  # fmt: skip
    classes = ','.join(names)
    for split in ('train', 'val', 'test'):
        options += [
            f'{split}_dataloader.dataset.metainfo.classes=[{classes},other]',
            f'{split}_dataloader.dataset.metainfo.thing_classes=[{classes}]',
            f'{split}_dataloader.dataset.metainfo.stuff_classes=[other]',
        ]
    for split in ('val', 'test'):
        options += [
            f'{split}_evaluator.0.ann_file={panoptic}',
            f'{split}_evaluator.0.seg_prefix={tmp_path}/panoptic_subset/',
            f'{split}_evaluator.1.ann_file={annotations}',
        ]
    metrics = learn(mask2former('panoptic'), tmp_path, options, f'iter_{iterations}.pth')
    assert metrics['coco_panoptic/PQ'] > 80 and metrics['coco/segm_mAP_50'] > 0.8, metrics


def test_five_images_are_segmented_into_instances(tmp_path):
    annotations, _ = subset(tmp_path)
    iterations = 200
    options = [
        *on_coco(tmp_path, '(320,240)', annotations), *schedule(iterations, 1e-3),
        *(f'model.neck.{option}' for option in NECK), *(f'model.panoptic_head.{option}' for option in HEAD),
        'model.train_cfg.num_points=3136',
        *(f'{split}_evaluator.ann_file={annotations}' for split in ('val', 'test')),
    ]  # fmt: skip
    metrics = learn(mask2former('instance'), tmp_path, options, f'iter_{iterations}.pth')
    assert metrics['coco/bbox_mAP_50'] > 0.8 and metrics['coco/segm_mAP_50'] > 0.8, metrics


def test_objects_on_five_images_are_detected_by_dino(tmp_path):
    annotations, _ = subset(tmp_path)
    epochs, layers = 70, 2
    options = [
        *on_coco(tmp_path, '(320,240)', annotations),
        *(f'model.neck.0.{option}' for option in NECK), 'model.neck.1.in_channels=[96,96,96]', 'model.num_queries=100',
        *(f'model.{part}.num_layers={layers}' for part in ('encoder', 'decoder')),
        *(f'model.{part}.layer_cfg.ffn_cfg.feedforward_channels=256' for part in ('encoder', 'decoder')),
        'optim_wrapper.optimizer.lr=5e-4', f'train_cfg.max_epochs={epochs}', f'param_scheduler.0.end={epochs}',
        f'param_scheduler.0.milestones=[{epochs * 4 // 5}]', f'default_hooks.checkpoint.interval={epochs}',
        *(f'{split}_evaluator.ann_file={annotations}' for split in ('val', 'test')),
    ]  # fmt: skip
    config = 'configs/mmdet/dino_daga-vitb16_vitadapter_8xb2-12e_coco.py'
    metrics = learn(config, tmp_path, options, f'epoch_{epochs}.pth')
    assert metrics['coco/bbox_mAP_50'] > 0.8, metrics


@pytest.mark.skipif(not ADE20K.is_dir(), reason=f'no sample of ADE20K at {ADE20K}{NEEDS}')
def test_three_images_of_ade20k_are_learned_by_mask2former(tmp_path):
    iterations, size = 400, '(256,352)'
    options = [
        f'ade20k_root={ADE20K}', *(f'model.neck.{option}' for option in NECK),
        *(f'model.decode_head.{option}' for option in HEAD),
        # every image whole, as it is
        f'model.data_preprocessor.size={size}', f'model.test_cfg.crop_size={size}', f'model.test_cfg.stride={size}',
        'train_dataloader.dataset.pipeline.2.scales=[256]', f'train_dataloader.dataset.pipeline.3.crop_size={size}',
        'train_dataloader.dataset.pipeline.3.cat_max_ratio=1.0', 'train_dataloader.dataset.pipeline.4.prob=0.0',
        'train_dataloader.dataset.pipeline.5.brightness_delta=0', 'train_dataloader.dataset.pipeline.5.hue_delta=1',
        'train_dataloader.dataset.pipeline.5.contrast_range=(1.0,1.0)',
        'train_dataloader.dataset.pipeline.5.saturation_range=(1.0,1.0)', 'train_dataloader.batch_size=1',
        *(f'{split}_dataloader.dataset.pipeline.1.scale=(1024,256)' for split in ('val', 'test')),
        'optim_wrapper.optimizer.lr=1e-3', 'param_scheduler.0.end=10', 'param_scheduler.1.begin=10',
        f'param_scheduler.1.end={iterations}', f'train_cfg.max_iters={iterations}',
        f'default_hooks.checkpoint.interval={iterations}',
    ]  # fmt: skip
    config = 'configs/mmseg/mask2former_daga-vits16_vitadapter_8xb2-160k_ade20k-640x640.py'
    metrics = learn(config, tmp_path, options, f'iter_{iterations}.pth')
    # IoUMetric's mean is over the 15 classes of the ground truth and those that are predicted besides.
    assert metrics['mIoU'] > 80 and metrics['aAcc'] > 95, metrics
