"""Evaluate a checkpoint of any model of daga_mm, whatever its task.

    python tools/test.py CONFIG work_dirs/NAME/best_mIoU_iter_80000.pth

Metrics are printed and written to WORK_DIR/TIMESTAMP/TIMESTAMP.json, with the fingerprints of the weights.
Several GPUs: tools/dist_test.sh CONFIG CHECKPOINT NUMBER.
"""

import argparse
import os

from mmengine.config import DictAction
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from daga_mm.engine import load_config, require_data


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('--work-dir', help='where metrics and pictures go (default: work_dirs/CONFIG NAME)')
    parser.add_argument('--show-dir', help='draw the predictions into this folder of the work dir')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        metavar='NAME=VALUE',
        help='change settings of the config, e.g. ade20k_root=/data/ade; '
        'paths of configs/_base_/paths.py go by their names',
    )
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none')
    parser.add_argument('--local-rank', '--local_rank', type=int, default=0, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))  # torch.distributed.launch passes it as an argument
    try:
        config = load_config(args.config, args.cfg_options, args.work_dir)
        require_data(config, 'test')
        if not os.path.isfile(args.checkpoint):
            raise FileNotFoundError(f'no checkpoint {args.checkpoint}')
    except FileNotFoundError as error:
        raise SystemExit(str(error)) from None
    config.launcher = args.launcher
    config.load_from = args.checkpoint
    if args.show_dir:
        if 'visualization' not in config.get('default_hooks', {}):
            raise SystemExit(f'{args.config} has no default_hooks.visualization to draw with')
        config.default_hooks.visualization.draw = True
        config.visualizer.save_dir = args.show_dir
    runner = RUNNERS.build(config) if 'runner_type' in config else Runner.from_cfg(config)
    runner.test()


if __name__ == '__main__':
    main()
