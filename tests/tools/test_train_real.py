"""The ADE20K config on three real images, changed by options alone: it trains, evaluates, saves and resumes."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ..conftest import REPOSITORY, SAMPLES

CONFIG = 'configs/mmseg/upernet_daga-vits16_vitadapter_8xb2-160k_ade20k-512x512.py'
ADE20K = SAMPLES / 'ade20k_sample/ADEChallengeData2016'
ITERATIONS, HALF = 200, 100
SIZE, LONG = '(256,256)', '(1024,256)'
OPTIONS = [
    f'ade20k_root={ADE20K}',
    # a small random trunk in place of DINOv3's, which is not free to give away
    'model.backbone.arch._delete_=True', 'model.backbone.arch.name=dinov3_vits16', 'model.backbone.arch.embed_dim=96',
    'model.backbone.arch.depth=4', 'model.backbone.arch.num_heads=3', 'model.backbone.init_cfg=None',
    'model.neck.embed_dims=96', 'model.neck.conv_inplane=32', 'model.neck.num_heads=3', 'model.neck.drop_path_rate=0',
    'model.decode_head.in_channels=[96,96,96,96]', 'model.decode_head.channels=96', 'model.decode_head.dropout_ratio=0',
    'model.auxiliary_head=None',
    # half the size, and every image whole in every batch
    f'model.data_preprocessor.size={SIZE}', f'model.test_cfg.crop_size={SIZE}', 'model.test_cfg.stride=(171,171)',
    f'train_dataloader.dataset.pipeline.2.scale={LONG}', 'train_dataloader.dataset.pipeline.2.ratio_range=(1.0,1.0)',
    f'train_dataloader.dataset.pipeline.3.crop_size={SIZE}', 'train_dataloader.dataset.pipeline.3.cat_max_ratio=1.0',
    f'test_dataloader.dataset.pipeline.1.scale={LONG}', f'val_dataloader.dataset.pipeline.1.scale={LONG}',
    'train_dataloader.batch_size=3', 'train_dataloader.num_workers=0', 'train_dataloader.persistent_workers=False',
    'val_dataloader.num_workers=0', 'val_dataloader.persistent_workers=False',
    'test_dataloader.num_workers=0', 'test_dataloader.persistent_workers=False',
    # a schedule of minutes
    'optim_wrapper.optimizer.lr=3e-3', 'param_scheduler.0.end=10', 'param_scheduler.1.begin=10',
    f'param_scheduler.1.end={ITERATIONS}', 'train_cfg.val_interval=1000', 'randomness.seed=0',
    f'default_hooks.checkpoint.interval={HALF}', 'default_hooks.logger.interval=10',
    'default_hooks.checkpoint.save_best=None',
]  # fmt: skip


def run(tool: str, *arguments: str) -> str:
    """Run a tool as a user would; returns what it printed."""
    command = [sys.executable, '-W', 'ignore', f'tools/{tool}.py', CONFIG, *arguments]
    environment = os.environ | {'OMP_NUM_THREADS': '1'}  # the other core has another test
    result = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, env=environment)
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-3000:]
    return result.stdout + result.stderr


@pytest.mark.skipif(not ADE20K.is_dir(), reason=f'no sample of ADE20K at {ADE20K}; DAGA_MM_SAMPLES names its folder')
def test_three_real_images_are_learned_across_a_resume(tmp_path):
    options = ['--work-dir', str(tmp_path), '--cfg-options', *OPTIONS]
    run('train', *options, f'train_cfg.max_iters={HALF}')
    assert (tmp_path / f'iter_{HALF}.pth').is_file()
    log = run('train', '--resume', *options, f'train_cfg.max_iters={ITERATIONS}')
    assert f'resumed epoch: 0, iter: {HALF}' in log and (tmp_path / f'iter_{ITERATIONS}.pth').is_file()

    log = run('test', str(tmp_path / f'iter_{ITERATIONS}.pth'), *options)
    # IoUMetric's own table: | class | IoU | Acc |. The small classes, of a few hundred pixels each, take longer.
    rows = re.findall(r'^\| +([\w ,&-]+?) +\| +([\d.]+|nan) +\| +([\d.]+|nan) +\|$', log, re.MULTILINE)
    ious = {name: float(iou) for name, iou, accuracy in rows if accuracy != 'nan'}
    assert len(rows) == 150 and len(ious) == 15
    large = ['wall', 'building', 'sky', 'tree', 'road', 'grass', 'sidewalk', 'bus', 'escalator']
    assert sum(ious[name] for name in large) / len(large) > 80, ious
    (metrics,) = (json.loads(path.read_text()) for path in Path(tmp_path).glob('*/2*.json'))
    assert metrics['trunk'] and metrics['adapters'] and metrics['aAcc'] > 85
