"""Train any model of daga_mm, whatever its task.

    python tools/train.py configs/mmseg/upernet_daga-vits16_vitadapter_8xb2-160k_ade20k-512x512.py

Several GPUs: tools/dist_train.sh CONFIG NUMBER.
"""

import argparse
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from daga_mm.cli.errors import one_line_errors
from daga_mm.cli.parser import add_config, add_run_options, make_parser
from daga_mm.errors import as_run_error

if TYPE_CHECKING:  # functions import what takes its time, torch above all: help and argument errors come before
    from mmengine.config import Config


def parse_args() -> argparse.Namespace:
    parser = make_parser(__doc__)
    add_config(parser)
    parser.add_argument('--amp', action='store_true', help='mixed precision: bfloat16 where the GPU has it')
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CHECKPOINT or FOLDER',
        help='go on from a checkpoint, or from the last one in a folder (default: the work dir)',
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


def resume(config: 'Config', checkpoint: str) -> None:
    """Go on from a checkpoint, from the last one of a folder, or ('auto') from that of the work dir if there is one.

    Raises:
        FileNotFoundError: There is no such checkpoint.
    """
    from mmengine.runner import find_latest_checkpoint

    from daga_mm.cli.config import require_checkpoint

    folder = config.work_dir if checkpoint == 'auto' else checkpoint
    found = find_latest_checkpoint(folder) if Path(folder).is_dir() else checkpoint
    if found is not None:
        require_checkpoint(found)
        config.resume, config.load_from = True, found
    elif checkpoint == 'auto':
        config.resume = False
        print(f'no checkpoint in {folder} yet: the run begins')
    else:
        raise FileNotFoundError(f'--resume {folder}: this folder has no last_checkpoint, expected a work dir of a run')


def prepare(args: argparse.Namespace) -> tuple['Config', list[Path]]:
    """The config of the run that the arguments ask for, and the folders that were made for it.

    Raises:
        OSError: A file is missing, or nothing can be written to the work dir.
        ValueError: An argument, the config or the data do not fit.
    """
    from daga_mm.cli.config import load_config, require_work_dir
    from daga_mm.cli.data import require_data

    config = load_config(args.config, args.cfg_options, args.work_dir)
    if not config.get('train_cfg'):
        raise ValueError(f'{args.config} trains nothing: tools/test.py runs it')
    require_data(config, 'train', 'val')
    made = require_work_dir(config)
    if args.amp:
        from daga_mm.cli.runs import enable_amp

        enable_amp(config)
    if args.auto_scale_lr:
        if 'base_batch_size' not in config.get('auto_scale_lr', {}):
            raise ValueError(f'{args.config} has no auto_scale_lr.base_batch_size to scale from')
        config.auto_scale_lr.enable = True
    if args.resume:
        resume(config, args.resume)
    return config, made


def main() -> None:
    args = parse_args()
    with one_line_errors(args.traceback):
        with as_run_error(OSError, ValueError):
            config, made = prepare(args)
        from mmengine.dist import is_main_process

        from daga_mm.cli.dry_run import dry_run
        from daga_mm.cli.runs import build_runner

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
