"""Train any model of daga_mm, whatever its task.

    python tools/train.py configs/mmseg/upernet_daga-vits16_vitadapter_8xb2-160k_ade20k-512x512.py

Several GPUs: tools/dist_train.sh CONFIG NUMBER.
"""

import argparse
import os

from mmengine.config import DictAction
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from daga_mm.engine import enable_amp, load_config, require_data


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file')
    parser.add_argument('--work-dir', help='where logs and checkpoints go (default: work_dirs/CONFIG NAME)')
    parser.add_argument('--amp', action='store_true', help='mixed precision: bfloat16 where the GPU has it')
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CHECKPOINT',
        help='go on from a checkpoint, or from the last one in the work dir if none is named',
    )
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help="scale the learning rate from the config's batch size to that of this run",
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        metavar='NAME=VALUE',
        help='change settings of the config, e.g. ade20k_root=/data/ade train_cfg.max_iters=100 '
        'model.backbone.out_indices="[1,3]"; paths of configs/_base_/paths.py go by their names',
    )
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none')
    parser.add_argument('--local-rank', '--local_rank', type=int, default=0, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))  # torch.distributed.launch passes it as an argument
    try:
        config = load_config(args.config, args.cfg_options, args.work_dir)
        require_data(config, 'train', 'val')
        if args.amp:
            enable_amp(config)
    except (FileNotFoundError, ValueError, RuntimeError) as error:
        raise SystemExit(str(error)) from None
    config.launcher = args.launcher
    if args.resume is not None:
        config.resume = True
        config.load_from = None if args.resume == 'auto' else args.resume
    if args.auto_scale_lr:
        if 'base_batch_size' not in config.get('auto_scale_lr', {}):
            raise SystemExit(f'{args.config} has no auto_scale_lr.base_batch_size to scale from')
        config.auto_scale_lr.enable = True
    runner = RUNNERS.build(config) if 'runner_type' in config else Runner.from_cfg(config)
    runner.train()


if __name__ == '__main__':
    main()
