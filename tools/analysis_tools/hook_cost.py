"""Measure what AttentionVisHook costs a run: the time inside it beside the time of the iterations between its calls.

    python tools/analysis_tools/hook_cost.py configs/mmseg/fcn_daga-vits16_linear_8xb2-40k_ade20k-512x512.py --json FILE

A segmentation config trains a few iterations on random images of 512×512 pixels, with random weights in the trunk.
The hook writes its curves after each of them and draws at the end. Seconds are this process's own on the processor, in
one thread, so that other work on the machine hardly counts. The share is that of the config's own interval.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

os.environ['CUDA_VISIBLE_DEVICES'] = ''  # mmengine's runner would take a GPU, which this clock does not see

import cv2
import numpy as np
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from daga_mm.cli.config import load_config
from daga_mm.cli.parser import add_config, make_parser, positive
from daga_mm.engine import AtomicBackend
from daga_mm.visualization import AttentionVisHook


class Clock(Hook):
    """Seconds from the start of one iteration to the next one's, whatever hooks do in between."""

    priority = 'HIGHEST'

    def __init__(self) -> None:
        self.starts: list[float] = []

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Note the time."""
        self.starts.append(time.process_time())


def timed(function: Callable, seconds: list[float]) -> Callable:
    """The same function, which notes how long it takes."""

    def call(*args: Any, **kwargs: Any) -> Any:
        start = time.process_time()
        try:
            return function(*args, **kwargs)
        finally:
            seconds.append(time.process_time() - start)

    return call


def write_images(root: Path, **counts: int) -> None:
    """Noise and labels in squares, in ADE20K's folders."""
    random = np.random.default_rng(0)
    for split, count in counts.items():
        for kind in ('images', 'annotations'):
            (root / kind / split).mkdir(parents=True)
        for number in range(count):
            pixels = random.integers(256, size=(512, 512, 3), dtype=np.uint8)
            labels = random.integers(1, 151, (16, 16), dtype=np.uint8).repeat(32, 0).repeat(32, 1)
            cv2.imwrite(str(root / f'images/{split}/{number}.jpg'), pixels)
            cv2.imwrite(str(root / f'annotations/{split}/{number}.png'), labels)


def measure(config: Any, folder: Path, iterations: int, images: int) -> dict[str, Any]:
    """Train, and add up what the hook took."""
    interval = config.train_cfg.val_interval
    write_images(folder, training=2 * iterations, validation=images)
    for loader in (config.train_dataloader, config.val_dataloader):
        loader.update(num_workers=0, persistent_workers=False)
        loader.dataset.data_root = str(folder)
    config.train_cfg.update(max_iters=iterations, val_interval=iterations + 1, val_begin=iterations + 1)
    config.model.backbone.init_cfg = None
    config.merge_from_dict({'work_dir': str(folder / 'run'), 'log_level': 'ERROR', 'default_hooks.checkpoint': None})
    hook, clock = AttentionVisHook(range(images), interval=iterations, log_interval=1), Clock()
    drawing: list[float] = []
    before, after, looking = [], [], []
    hook._draw = timed(hook._draw, drawing)  # type: ignore[method-assign]
    hook.before_train_iter = timed(hook.before_train_iter, before)  # type: ignore[method-assign]
    hook.after_train_iter = timed(hook.after_train_iter, after)  # type: ignore[method-assign]
    see_layer = hook._see_layer
    hook._see_layer = lambda name: timed(see_layer(name), looking)  # type: ignore[method-assign]
    hook._see_gradients = timed(hook._see_gradients, looking)  # type: ignore[method-assign]
    runner = Runner.from_cfg(config)
    runner.register_hook(clock)
    runner.register_hook(hook)
    runner.val_loop.run = lambda: None  # type: ignore[method-assign]
    runner.train()
    own = [start + end for start, end in zip(before, after, strict=True)]
    curves = median(own[1:-1]) + sum(looking) / iterations  # the last one draws, too
    whole = [end - start for start, end in zip(clock.starts, clock.starts[1:], strict=False)]
    iteration = median(whole[1:]) - curves  # the first one is slower
    share = (drawing[0] + interval / 50 * curves) / (interval * iteration)
    return dict(
        arch=config.model.backbone.arch,
        size=[512, 512],
        batch=config.train_dataloader.batch_size,
        images=images,
        torch=torch.__version__,
        seconds_iteration=round(iteration, 3),
        seconds_curves=round(curves, 4),
        seconds_drawing=round(drawing[0], 3),
        interval=interval,
        log_interval=50,
        percent=round(100 * share, 4),
        iterations_for_2_percent=round(drawing[0] / (0.02 * iteration)),
    )


def parse_args() -> argparse.Namespace:
    parser = make_parser(__doc__)
    add_config(parser)
    parser.add_argument(
        '--iterations',
        type=int,
        choices=range(3, 1001),
        metavar='N',
        default=6,
        help='to train, from 3 on (default: 6)',
    )
    parser.add_argument('--images', type=positive, default=4, help='to draw (default: 4)')
    parser.add_argument('--json', type=Path, metavar='FILE', help='write the numbers here too')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        config = load_config(args.config, args.cfg_options)
        found = dict(config=args.config, **measure(config, Path(folder), args.iterations, args.images))
    text = json.dumps(found, indent=1)
    print(text)
    if args.json:
        AtomicBackend().put_text(text + '\n', args.json)


if __name__ == '__main__':
    main()
