"""The configs on a few real images, changed by options alone: they train, evaluate, save, resume, and learn them."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ..conftest import REPOSITORY, SAMPLES

pytestmark = pytest.mark.slow

ADE20K = SAMPLES / 'ade20k_sample/ADEChallengeData2016'
COCO = SAMPLES / 'coco_tiny'
NYU = SAMPLES / 'rgbd_sample/nyu'
NEEDS = '; DAGA_MM_SAMPLES names the folder of the samples'

TRUNK = [  # a small random one in place of DINOv3's, which is not free to give away
    'model.backbone.arch._delete_=True', 'model.backbone.arch.name=dinov3_vits16', 'model.backbone.arch.embed_dim=96',
    'model.backbone.arch.depth=4', 'model.backbone.arch.num_heads=3', 'model.backbone.init_cfg=None',
]  # fmt: skip
LOADING = [
    f'{split}_dataloader.{option}'
    for split in ('train', 'val', 'test')
    for option in ('num_workers=0', 'persistent_workers=False')
]
RUN = [
    'randomness.seed=0', 'train_cfg.val_interval=1000', 'default_hooks.checkpoint.save_best=None',
    'default_hooks.logger.interval=10',
]  # fmt: skip


def run(tool: str, config: str, *arguments: str) -> str:
    """Run a tool as a user would; returns what it printed."""
    command = [sys.executable, '-W', 'ignore', f'tools/{tool}.py', config, *arguments]
    environment = os.environ | {'OMP_NUM_THREADS': '1'}  # the other core has another test
    result = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, env=environment)
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-3000:]
    return result.stdout + result.stderr


def last_metrics(work_dir: Path) -> dict:
    """What the last test wrote."""
    files = [path for path in work_dir.glob('*/*.json') if path.stem == path.parent.name]
    return json.loads(max(files).read_text())


@pytest.mark.skipif(not ADE20K.is_dir(), reason=f'no sample of ADE20K at {ADE20K}{NEEDS}')
def test_three_images_of_ade20k_are_learned_across_a_resume(tmp_path):
    """Half with cross entropy, which names the large things; then Lovász's loss, for classes of 150 pixels."""
    config = 'configs/mmseg/upernet_daga-vits16_vitadapter_8xb2-160k_ade20k-512x512.py'
    size, long = '(256,352)', '(1024,256)'
    half, total = 200, 360
    options = [
        f'ade20k_root={ADE20K}', *TRUNK, *LOADING, *RUN,
        'model.neck.embed_dims=96', 'model.neck.conv_inplane=32', 'model.neck.num_heads=3',
        'model.neck.drop_path_rate=0', 'model.neck.norm_cfg.type=GN', 'model.neck.norm_cfg.num_groups=32',
        'model.decode_head.in_channels=[96,96,96,96]', 'model.decode_head.channels=96',
        'model.decode_head.dropout_ratio=0', 'model.decode_head.norm_cfg.type=GN',
        'model.decode_head.norm_cfg.num_groups=32', 'model.auxiliary_head=None',
        # every image whole, as it is, in every batch of one
        f'model.data_preprocessor.size={size}', f'model.test_cfg.crop_size={size}', f'model.test_cfg.stride={size}',
        f'train_dataloader.dataset.pipeline.2.scale={long}',
        'train_dataloader.dataset.pipeline.2.ratio_range=(1.0,1.0)',
        f'train_dataloader.dataset.pipeline.3.crop_size={size}',
        'train_dataloader.dataset.pipeline.3.cat_max_ratio=1.0',
        'train_dataloader.dataset.pipeline.4.prob=0.0', 'train_dataloader.dataset.pipeline.5.brightness_delta=0',
        'train_dataloader.dataset.pipeline.5.contrast_range=(1.0,1.0)',
        'train_dataloader.dataset.pipeline.5.saturation_range=(1.0,1.0)',
        'train_dataloader.dataset.pipeline.5.hue_delta=1', 'train_dataloader.batch_size=1',
        f'test_dataloader.dataset.pipeline.1.scale={long}', f'val_dataloader.dataset.pipeline.1.scale={long}',
        'optim_wrapper.optimizer.lr=3e-3', 'param_scheduler.0.end=10', 'param_scheduler.1.begin=10',
        f'param_scheduler.1.end={total}', 'default_hooks.checkpoint.interval=40',
    ]  # fmt: skip
    lovasz = [
        f'model.decode_head.loss_decode.{option}' for option in ('_delete_=True', 'type=LovaszLoss', 'reduction=none')
    ]
    options = ['--work-dir', str(tmp_path), '--cfg-options', *options]
    run('train', config, *options, f'train_cfg.max_iters={half}')
    assert (tmp_path / f'iter_{half}.pth').is_file()
    log = run('train', config, '--resume', *options, *lovasz, f'train_cfg.max_iters={total}')
    assert f'resumed epoch: 0, iter: {half}' in log and (tmp_path / f'iter_{total}.pth').is_file()

    log = run('test', config, str(tmp_path / f'iter_{total}.pth'), *options)
    # IoUMetric's own table: | class | IoU | Acc |; 'nan' where the ground truth has nothing of the class.
    rows = re.findall(r'^\| +([\w ,&-]+?) +\| +([\d.]+|nan) +\| +([\d.]+|nan) +\|$', log, re.MULTILINE)
    ious = {name: float(iou) for name, iou, accuracy in rows if accuracy != 'nan'}
    assert len(rows) == 150 and len(ious) == 15
    assert sum(ious.values()) / len(ious) > 80, ious
    metrics = last_metrics(tmp_path)
    assert metrics['trunk'] and metrics['adapters'] and metrics['aAcc'] > 95


@pytest.mark.skipif(not COCO.is_dir(), reason=f'no sample of COCO at {COCO}{NEEDS}')
def test_six_images_of_coco_are_learned(tmp_path):
    """40 objects of 16 classes, a crowd and boxes 5 pixels wide among them; both metrics are CocoMetric's."""
    config = 'configs/mmdet/mask-rcnn_daga-vits16_vitadapter_8xb2-1x_coco.py'
    chosen = {106497, 131074, 204805, 262146, 294920, 501760}
    annotations = json.loads((COCO / 'annotations/instances_train2017.json').read_text())
    annotations['images'] = [image for image in annotations['images'] if image['id'] in chosen]
    annotations['annotations'] = [a for a in annotations['annotations'] if a['image_id'] in chosen]
    assert len(annotations['annotations']) == 40 and sum(a['iscrowd'] for a in annotations['annotations']) == 1
    subset = tmp_path / 'subset.json'
    subset.write_text(json.dumps(annotations))

    width, scale, epochs = 64, '(640,400)', 130
    options = [
        f'coco_root={COCO}', *TRUNK, *LOADING, *RUN,
        'model.neck.0.embed_dims=96', 'model.neck.0.conv_inplane=32', 'model.neck.0.num_heads=3',
        'model.neck.0.drop_path_rate=0', 'model.neck.0.norm_cfg.type=GN', 'model.neck.0.norm_cfg.num_groups=32',
        'model.neck.1.in_channels=[96,96,96,96]', f'model.neck.1.out_channels={width}',
        f'model.rpn_head.in_channels={width}', f'model.rpn_head.feat_channels={width}',
        f'model.roi_head.bbox_roi_extractor.out_channels={width}', f'model.roi_head.bbox_head.in_channels={width}',
        'model.roi_head.bbox_head.fc_out_channels=256', f'model.roi_head.mask_roi_extractor.out_channels={width}',
        f'model.roi_head.mask_head.in_channels={width}', f'model.roi_head.mask_head.conv_out_channels={width}',
        f'train_dataloader.dataset.pipeline.2.scale={scale}', 'train_dataloader.dataset.pipeline.3.prob=0.0',
        f'train_dataloader.dataset.ann_file={subset}',
        'optim_wrapper.optimizer.lr=1e-3', 'param_scheduler.0.end=20', f'param_scheduler.1.end={epochs}',
        'param_scheduler.1.milestones=[100,120]', f'train_cfg.max_epochs={epochs}',
        f'default_hooks.checkpoint.interval={epochs}',
    ]  # fmt: skip
    for split in ('val', 'test'):
        options += [
            f'{split}_dataloader.dataset.pipeline.1.scale={scale}', f'{split}_dataloader.dataset.ann_file={subset}',
            f'{split}_dataloader.dataset.data_prefix.img=train2017/', f'{split}_evaluator.ann_file={subset}',
        ]  # fmt: skip
    options = ['--work-dir', str(tmp_path / 'run'), '--cfg-options', *options]
    run('train', config, *options)
    run('test', config, str(tmp_path / f'run/epoch_{epochs}.pth'), *options)
    metrics = last_metrics(tmp_path / 'run')
    assert metrics['coco/bbox_mAP_50'] > 0.8 and metrics['coco/segm_mAP_50'] > 0.8, metrics


@pytest.mark.skipif(not NYU.is_dir(), reason=f'no sample of RGB-D images at {NYU}{NEEDS}')
def test_five_depth_maps_are_learned(tmp_path):
    """Real pairs of 480×640 with holes; the metric is DepthMetric's with Eigen's crop."""
    config = 'configs/depth/depth_daga-vits16_linear_8xb2-38400iters_nyu-416x544.py'
    iterations, size = 450, '(480,640)'
    options = [
        f'nyu_root={NYU}', *TRUNK, *LOADING, *RUN,
        'model.backbone.adapter.layers=[0,1,2,3]', 'model.decode_head.in_channels=[96]',
        'model.decode_head.loss_decode.warm_up_iters=5', f'model.data_preprocessor.size={size}',
        # every image whole, as it is, in every batch
        'train_dataloader.batch_size=5', 'train_dataloader.dataset.pipeline.2.box=(0,480,0,640)',
        'train_dataloader.dataset.pipeline.3.prob=0.0', 'train_dataloader.dataset.pipeline.4.prob=0.0',
        f'train_dataloader.dataset.pipeline.5.crop_size={size}', 'train_dataloader.dataset.pipeline.6.prob=0.0',
        'optim_wrapper.optimizer.lr=1e-2', 'param_scheduler.0.end=5', f'param_scheduler.1.end={iterations}',
        f'train_cfg.max_iters={iterations}', f'default_hooks.checkpoint.interval={iterations}',
    ]  # fmt: skip
    options = ['--work-dir', str(tmp_path), '--cfg-options', *options]
    run('train', config, *options)
    run('test', config, str(tmp_path / f'iter_{iterations}.pth'), *options)
    metrics = last_metrics(tmp_path)
    assert metrics['d1'] > 0.95, metrics
