"""Estimate depth with a frozen vision transformer, with DAGA in it, and with all of it fine-tuned.

    make demo            # or: python demo/demo.py

Synthetic indoor scenes are generated and a small trunk, trained to classify such objects, is loaded. A linear depth
head is trained on it three times with the same seed, data and initial head: on the frozen trunk, with DAGA, and with
full fine-tuning. The results are demo/output/demo.png and demo/output/demo.json.
"""

import argparse
import json
import time
import warnings
from copy import deepcopy
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use('Agg')
import matplotlib.pyplot as plt
import numpy as np
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner, set_random_seed
from scenes import write_nyu

from daga_mm.cli.config import load_config
from daga_mm.io import AtomicBackend, write_figure

HERE = Path(__file__).parent
CONFIG = HERE / 'depth_scenes.py'
METHODS: dict[str, dict[str, Any]] = {
    'frozen': {'model.backbone.adapter': None},
    'DAGA': {},
    'full': {
        'model.backbone.adapter': None,
        'model.backbone.frozen': False,
        'optim_wrapper.paramwise_cfg': dict(custom_keys={'backbone.trunk': dict(lr_mult=0.1)}, layer_decay_rate=0.95),
    },
}
SCENES_SHOWN = (2, 5, 11, 17)
NEAR, FAR = 1.0, 6.0  # metres, the ends of the colours


class Progress(Hook):
    """Print how far a run is, and keep the seconds per iteration without start-up and validation."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.seconds: list[float] = []

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        self.start = time.perf_counter()

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        self.seconds.append(time.perf_counter() - self.start)
        done, total = runner.iter + 1, runner.max_iters
        if done % 20 == 0 or done == total:
            left = np.median(self.seconds) * (total - done)
            print(f'  {self.name:6}  {done:4} of {total}  loss {outputs["loss"]:.3f}  {left:3.0f} s left', flush=True)


def train(
    method: str, options: dict[str, Any], out: Path, seed: int, head: dict[str, Any]
) -> tuple[Runner, dict[str, Any]]:
    """Train and evaluate one method; returns its runner and a row of the table.

    The depth head starts from the state dict ``head``; if that is empty, it is filled with this run's.
    """
    config = load_config(CONFIG, options | METHODS[method], work_dir=str(out / method.lower()))
    config.randomness = dict(seed=seed)
    config.log_level = 'ERROR'
    config.visualizer.name = f'{method} {seed}'  # mmengine keeps visualizers by name
    config.experiment_name = f'{method}_{seed}_{time.time_ns()}'
    runner = Runner.from_cfg(config)
    head.update(head or deepcopy(runner.model.decode_head.state_dict()))
    runner.model.decode_head.load_state_dict(head)
    set_random_seed(seed)  # the methods draw a different number of initial weights
    progress = Progress(method)
    runner.register_hook(progress)
    runner.train()
    score = {name: runner.message_hub.get_scalar(f'val/{name}').current() for name in ('d1', 'rmse')}
    trained = sum(p.numel() for p in runner.model.parameters() if p.requires_grad)
    seconds = float(np.median(progress.seconds))
    return runner, dict(method=method, seed=seed, **score, trained_parameters=trained, seconds_per_iteration=seconds)


@torch.no_grad()
def look(runner: Runner, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A validation scene: image (H, W, 3) uint8 RGB, true and predicted depth (H, W) in metres, 0 without a reading."""
    item = runner.val_dataloader.dataset[index]
    (result,) = runner.model.eval().test_step({name: [value] for name, value in item.items()})
    image = item['inputs'].permute(1, 2, 0).numpy()[..., ::-1]
    return image, result.gt_depth_map.data[0].cpu().numpy(), result.pred_depth_map.data[0].cpu().numpy()


def picture(runners: dict[str, Runner], rows: list[dict[str, Any]], path: Path) -> None:
    """Draw image, true depth and each method's prediction for some validation scenes."""
    titles = ['image', 'true depth', *(f'{row["method"]}: d1 {100 * row["d1"]:.1f} %' for row in rows)]
    lines, columns = len(SCENES_SHOWN), len(titles)
    wide, high = 2.4 * columns + 0.8, 1.8 * lines + 0.35  # inches: pictures of 4:3, the bar and the titles
    figure, axes = plt.subplots(lines, columns, figsize=(wide, high), squeeze=False)
    for line, index in zip(axes, SCENES_SHOWN, strict=True):
        looks = [look(runner, index) for runner in runners.values()]
        image, truth, _ = looks[0]
        line[0].imshow(image, interpolation='bilinear', aspect='auto')
        for axis, depth in zip(line[1:], [truth, *(prediction for *_, prediction in looks)], strict=True):
            axis.set_facecolor('0.6')  # seen where the sensor has no reading
            shown = np.ma.masked_equal(depth, 0)
            colours = axis.imshow(shown, cmap='turbo_r', vmin=NEAR, vmax=FAR, interpolation='nearest', aspect='auto')
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title, fontsize=12)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
    right, top = 1 - 0.8 / wide, 1 - 0.35 / high
    figure.subplots_adjust(left=0, right=right, bottom=0, top=top, wspace=0.02, hspace=0.02)
    scale = figure.add_axes((right + 0.1 / wide, 0.02, 0.15 / wide, top - 0.04))
    figure.colorbar(colours, cax=scale, format='{x:g} m').outline.set_visible(False)
    write_figure(figure, path, dpi=100)
    plt.close(figure)


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as aligned text."""
    lines = [f'{"":8}{"d1, %":>8}{"RMSE, m":>10}{"trained parameters":>22}{"seconds per iteration":>24}']
    for row in rows:
        lines.append(
            f'{row["method"]:8}{100 * row["d1"]:8.1f}{row["rmse"]:10.3f}'
            f'{row["trained_parameters"]:22,}{row["seconds_per_iteration"]:24.3f}'
        )
    return '\n'.join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--seed', type=int, default=0, help='of head, DAGA and the order of the data (default: 0)')
    parser.add_argument('--iterations', type=int, help='instead of those in demo/depth_scenes.py')
    parser.add_argument('--out', type=Path, default=HERE / 'output', help='where results go (default: demo/output)')
    parser.add_argument('--data', type=Path, default=HERE / 'data', help='where the scenes go (default: demo/data)')
    args = parser.parse_args()
    warnings.filterwarnings('ignore', module='mm.*')  # deprecations inside the mm packages
    start = time.perf_counter()
    args.out.mkdir(parents=True, exist_ok=True)

    print('Generating synthetic indoor scenes (300 to train on, 60 to test on) ...', flush=True)
    root = write_nyu(args.data / 'depth', 300, 60, seed=0, size=(128, 96), workers=2)
    options: dict[str, Any] = {f'{split}_dataloader.dataset.data_root': str(root) for split in ('train', 'val', 'test')}
    if args.iterations:
        warm_up = max(1, args.iterations // 10)
        options |= {
            'train_cfg.max_iters': args.iterations,
            'train_cfg.val_interval': args.iterations,
            'param_scheduler.0.end': warm_up,
            'param_scheduler.1.end': args.iterations,
            'model.decode_head.loss_decode.warm_up_iters': warm_up,
        }
    print('Training a linear depth head three times, from the same start:', flush=True)
    runners, rows, head = {}, [], {}
    for method in METHODS:
        runners[method], row = train(method, options, args.out, args.seed, head)
        rows.append(row)
    picture(runners, rows, args.out / 'demo.png')
    found = dict(data='synthetic scenes', rows=rows)
    AtomicBackend().put_text(json.dumps(found, indent=1) + '\n', args.out / 'demo.json')
    print(f'\n{table(rows)}\n')
    print('The scenes are synthetic and the trunk is tiny: these numbers say nothing about DINOv3.')
    print(f'Picture: {args.out / "demo.png"}   {time.perf_counter() - start:.0f} s in all')


if __name__ == '__main__':
    main()
