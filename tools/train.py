"""Train any model of daga_mm, whatever its task.

    python tools/train.py configs/mmseg/upernet_daga-vits16_vitadapter_8xb2-160k_ade20k-512x512.py

Several GPUs: tools/dist_train.sh CONFIG NUMBER.
"""

import argparse

from daga_mm.engine import (
    add_config,
    add_run_options,
    build_runner,
    enable_amp,
    load_config,
    make_parser,
    one_line_errors,
    require_data,
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
    add_run_options(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    with one_line_errors(FileNotFoundError, ValueError):
        config = load_config(args.config, args.cfg_options, args.work_dir)
        require_data(config, 'train', 'val')
    if args.amp:
        with one_line_errors(ValueError, RuntimeError):
            enable_amp(config)
    if args.resume is not None:
        config.resume = True
        config.load_from = None if args.resume == 'auto' else args.resume
    if args.auto_scale_lr:
        if 'base_batch_size' not in config.get('auto_scale_lr', {}):
            raise SystemExit(f'{args.config} has no auto_scale_lr.base_batch_size to scale from')
        config.auto_scale_lr.enable = True
    build_runner(config, args).train()


if __name__ == '__main__':
    main()
