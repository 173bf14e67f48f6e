"""Train any model of daga_mm, whatever its task.

    python tools/train.py configs/mmseg/upernet_daga-vits16_vitadapter_8xb2-160k_ade20k-512x512.py

Several GPUs: tools/dist_train.sh CONFIG NUMBER.
"""

import argparse
from contextlib import suppress

from mmengine.dist import is_main_process
from mmengine.runner import find_latest_checkpoint

from daga_mm.engine import (
    RunError,
    add_config,
    add_run_options,
    build_runner,
    dry_run,
    enable_amp,
    load_config,
    make_parser,
    one_line_errors,
    require_data,
    require_work_dir,
)


def parse_args() -> argparse.Namespace:
    parser = make_parser(__doc__)
    add_config(parser)
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
        '--dry-run',
        action='store_true',
        help='make a few steps, validate on one batch, draw one picture, write a checkpoint and read it back, report '
        'the memory and time of a run, and leave',
    )
    add_run_options(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    with one_line_errors(OSError, ValueError):
        config = load_config(args.config, args.cfg_options, args.work_dir)
        if not config.get('train_cfg'):
            raise ValueError(f'{args.config} trains nothing: tools/test.py runs it')
        require_data(config, 'train', 'val')
        made = require_work_dir(config)
    if args.amp:
        with one_line_errors(ValueError, RuntimeError):
            enable_amp(config)
    if args.resume == 'auto':
        config.resume = find_latest_checkpoint(config.work_dir) is not None
        if config.resume:
            config.load_from = None  # else the run begins with the config's, if it has one
        else:
            print(f'no checkpoint in {config.work_dir} yet: the run begins')
    elif args.resume:
        config.resume, config.load_from = True, args.resume
    if args.auto_scale_lr:
        if 'base_batch_size' not in config.get('auto_scale_lr', {}):
            raise SystemExit(f'{args.config} has no auto_scale_lr.base_batch_size to scale from')
        config.auto_scale_lr.enable = True
    with one_line_errors(RunError):
        if args.dry_run:
            try:
                report = dry_run(config, lambda config: build_runner(config, args))
            finally:
                with suppress(FileNotFoundError):  # another process was faster
                    for folder in made:
                        if not any(folder.iterdir()):
                            folder.rmdir()
            if is_main_process():
                print(report)
        else:
            build_runner(config, args).train()


if __name__ == '__main__':
    main()
