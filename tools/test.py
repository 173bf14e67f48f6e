"""Evaluate any model of daga_mm, whatever its task.

    python tools/test.py CONFIG work_dirs/NAME/best_mIoU_iter_80000.pth
    python tools/test.py configs/mmpretrain/knn_in1k.py none --adapter none

Metrics are printed and written to WORK_DIR/TIMESTAMP/TIMESTAMP.json, with the fingerprints of the weights.
Several GPUs: tools/dist_test.sh CONFIG CHECKPOINT NUMBER.
"""

import argparse
from typing import TYPE_CHECKING

from daga_mm.cli.errors import one_line_errors
from daga_mm.cli.parser import add_config, add_run_options, make_parser
from daga_mm.errors import RunError, as_run_error

if TYPE_CHECKING:  # functions import what takes its time, torch above all: help and argument errors come before
    from mmengine.config import Config


def parse_args() -> argparse.Namespace:
    parser = make_parser(__doc__)
    add_config(parser)
    parser.add_argument(
        'checkpoint',
        help='checkpoint file; none: the trunk alone, as the config names it, for probes',
    )
    parser.add_argument('--show-dir', help='draw the predictions into this folder, in one process')
    parser.add_argument(
        '--tta', action='store_true', help="average over the scales and flips of the config's tta_pipeline"
    )
    add_run_options(parser)
    return parser.parse_args()


def _is_probe(config: 'Config') -> bool:
    """It measures features, and makes no predictions."""
    return str(config.test_cfg.get('type')).startswith('daga_mm.')


def draw_into(folder: str, config: 'Config') -> None:
    """Let upstream's hook draw every image that is tested.

    Raises:
        ValueError: The config's test has nothing to draw.
    """
    hook = config.get('default_hooks', {}).get('visualization')
    if hook is None or _is_probe(config):
        raise ValueError('--show-dir: such a test has no predictions to draw; tools/infer.py draws those of images')
    if hook.type == 'VisualizationHook':  # mmpretrain's
        hook.update(enable=True, interval=1, out_dir=folder)
    else:
        hook.draw = True
        if hook.type == 'SegVisualizationHook':
            hook.interval = 1
        config.visualizer.save_dir = folder


def augment(config: 'Config') -> None:
    """Let upstream's model for test-time augmentation ask the config's own about every view of an image.

    Raises:
        ValueError: The config has no test-time augmentation.
    """
    from mmengine.config import ConfigDict

    if not {'tta_model', 'tta_pipeline'} <= config.keys():
        raise ValueError('--tta: the config has no tta_model and tta_pipeline')
    config.test_dataloader.dataset.pipeline = config.tta_pipeline
    config.model = ConfigDict(**config.tta_model, module=config.model)


def prepare(args: argparse.Namespace) -> 'Config':
    """The config of the test that the arguments ask for.

    Raises:
        OSError: A file is missing, or nothing can be written to the work dir.
        ValueError: An argument, the config or the data do not fit.
    """
    from daga_mm.cli.config import load_config, require_checkpoint, require_work_dir
    from daga_mm.cli.data import require_data

    config = load_config(args.config, args.cfg_options, args.work_dir)
    trunk_alone = _is_probe(config) and not config.model.get('head')
    if args.checkpoint != 'none':
        require_checkpoint(args.checkpoint)
        config.load_from = args.checkpoint
    elif not config.get('load_from') and not trunk_alone:
        raise ValueError(f'{args.config} has parts beside the trunk that a checkpoint brings: none is for probes')
    require_data(config, 'test')
    require_work_dir(config)
    if args.show_dir:
        draw_into(args.show_dir, config)
    if args.tta:
        augment(config)
    return config


def main() -> None:
    args = parse_args()
    with one_line_errors(args.traceback):
        with as_run_error(OSError, ValueError):
            config = prepare(args)
        from daga_mm.cli.runs import build_runner

        runner = build_runner(config, args)
        if args.show_dir and runner.world_size > 1:
            raise RunError("--show-dir takes one process: upstream's hooks draw the first one's images alone")
        runner.test()


if __name__ == '__main__':
    main()
