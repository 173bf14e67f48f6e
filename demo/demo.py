"""Adapt a frozen vision transformer to segmentation, without and with DAGA: one table, one picture, three minutes.

    make demo            # or: python demo/demo.py

Everything is in here: synthetic indoor scenes are generated, a small trunk that was trained to classify such objects
is loaded, and UperNet is trained on top of it twice, with the same seed, head and schedule: once on the frozen
trunk, once with DAGA in it. What comes out is demo/output/demo.png and demo/output/demo.json.
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
from matplotlib.patches import Patch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from scenes import write_ade20k
from scenes.preview import class_colours

from daga_mm.cli.config import load_config
from daga_mm.engine import AtomicBackend, write_figure

HERE = Path(__file__).parent
CONFIG = HERE / 'upernet_scenes.py'
KINDS = {'frozen': {'model.backbone.adapter': None}, 'DAGA': {}}
SCENES_SHOWN = (2, 5, 11, 17)


class Progress(Hook):
    """A line that says how far a run is, and the seconds per iteration without start-up and validation."""

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
    name: str, options: dict[str, Any], out: Path, seed: int, weights: dict[str, Any]
) -> tuple[Runner, dict[str, Any]]:
    """Train and evaluate one model; returns its runner and a row of the table.

    Neck and heads start from ``weights``, by part; if it is empty, theirs are put there.
    """
    config = load_config(CONFIG, options, work_dir=str(out / name.lower()))
    config.randomness = dict(seed=seed)
    config.log_level = 'ERROR'
    config.visualizer.name = f'{name} {seed}'  # mmengine keeps visualizers by name
    config.experiment_name = f'{name}_{seed}_{time.time_ns()}'
    runner = Runner.from_cfg(config)
    for part, module in runner.model.named_children():
        if part != 'backbone':
            module.load_state_dict(weights.setdefault(part, deepcopy(module.state_dict())))
    torch.manual_seed(seed)  # what initialisation draws anew is the same, too
    progress = Progress(name)
    runner.register_hook(progress)
    runner.train()
    trained = sum(p.numel() for p in runner.model.parameters() if p.requires_grad)
    row = dict(
        model=name,
        seed=seed,
        miou=runner.message_hub.get_scalar('val/mIoU').current(),
        trained_parameters=trained,
        seconds_per_iteration=float(np.median(progress.seconds)),
    )
    return runner, row


def predictions(runner: Runner, index: int) -> dict[str, np.ndarray]:
    """A validation scene: image (H, W, 3), label maps of ground truth and prediction (H, W), guidance map (h, w)."""
    item = runner.val_dataloader.dataset[index]
    model = runner.model.eval()
    with torch.no_grad():
        batch = dict(inputs=[item['inputs']], data_samples=[item['data_samples']])
        (result,) = model.test_step(batch)
        prepared = model.data_preprocessor(dict(inputs=[item['inputs']], data_samples=[item['data_samples']]))
        guidance = model.backbone.guidance_map(prepared['inputs'])[0]
    return dict(
        image=item['inputs'].permute(1, 2, 0).numpy()[..., ::-1],
        truth=item['data_samples'].gt_sem_seg.data[0].numpy(),
        prediction=result.pred_sem_seg.data[0].cpu().numpy(),
        guidance=guidance.cpu().numpy(),
    )


def picture(runners: dict[str, Runner], rows: list[dict[str, Any]], path: Path) -> None:
    """Draw image, guidance, ground truth and both predictions of a few validation scenes."""
    classes = runners['DAGA'].val_dataloader.dataset.metainfo['classes']
    # Colours by ADE20K's numbering, as in the generator's own previews; 255 is "no label".
    from mmseg.datasets import ADE20KDataset

    ids = np.zeros(256, np.int64)
    ids[: len(classes)] = [ADE20KDataset.METAINFO['classes'].index(name) + 1 for name in classes]
    titles = ['image', "trunk's attention: the guidance", 'ground truth']
    titles += [f'{row["model"]}: mIoU {row["miou"]:.1f}' for row in rows]
    figure, axes = plt.subplots(len(SCENES_SHOWN), 5, figsize=(13, 2.05 * len(SCENES_SHOWN) + 1.2), squeeze=False)
    shown = set()
    for line, index in zip(axes, SCENES_SHOWN, strict=True):
        both = {name: predictions(runner, index) for name, runner in runners.items()}
        scene = both['DAGA']
        maps = [scene['truth'], *(both[name]['prediction'] for name in runners)]
        shown |= set(np.unique(maps)) - {255}
        line[0].imshow(scene['image'])
        line[1].imshow(scene['image'].mean(axis=2), cmap='gray')
        height, width = scene['image'].shape[:2]
        line[1].imshow(
            scene['guidance'], cmap='inferno', alpha=0.75, extent=(0, width, height, 0), interpolation='bilinear'
        )
        for axis, labels in zip(line[2:], maps, strict=True):
            axis.imshow(class_colours(ids[labels]), interpolation='nearest')
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title, fontsize=11)
    for axis in axes.flat:
        axis.axis('off')
    legend = [Patch(color=class_colours(ids[[c]])[0] / 255, label=classes[c].strip()) for c in sorted(shown)]
    figure.legend(handles=legend, loc='lower center', ncol=9, fontsize=9, frameon=False)
    figure.suptitle('UperNet on a small frozen ViT, without and with DAGA; synthetic scenes', fontsize=13)
    figure.tight_layout(rect=(0, 0.95 / figure.get_figheight(), 1, 1))
    write_figure(figure, path, dpi=110)
    plt.close(figure)


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as aligned text."""
    lines = [f'{"":8}{"mIoU":>8}{"trained parameters":>22}{"seconds per iteration":>24}']
    for row in rows:
        lines.append(
            f'{row["model"]:8}{row["miou"]:8.2f}{row["trained_parameters"]:22,}{row["seconds_per_iteration"]:24.3f}'
        )
    return '\n'.join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--seed', type=int, default=0, help='of heads, DAGA and the order of the data (default: 0)')
    parser.add_argument('--iterations', type=int, help='instead of those in demo/upernet_scenes.py')
    parser.add_argument('--out', type=Path, default=HERE / 'output', help='where results go (default: demo/output)')
    parser.add_argument('--data', type=Path, default=HERE / 'data', help='where the scenes go (default: demo/data)')
    args = parser.parse_args()
    warnings.filterwarnings('ignore', module='mm.*')  # deprecations inside the mm packages: no matter of the reader's
    start = time.perf_counter()
    args.out.mkdir(parents=True, exist_ok=True)

    print('Generating synthetic indoor scenes (300 to train on, 60 to test on) ...', flush=True)
    root = write_ade20k(args.data / 'ade20k', 300, 60, seed=0, workers=2)
    common: dict[str, Any] = {
        f'{loader}_dataloader.dataset.data_root': str(root / 'ADEChallengeData2016')
        for loader in ('train', 'val', 'test')
    }
    if args.iterations:
        common |= {
            'train_cfg.max_iters': args.iterations,
            'train_cfg.val_interval': args.iterations,
            'param_scheduler.0.end': max(1, args.iterations // 20),
            'param_scheduler.1.begin': max(1, args.iterations // 20),
            'param_scheduler.1.end': args.iterations,
        }
    print('Training UperNet twice, on the same frozen trunk, from the same seed:', flush=True)
    runners, rows = {}, []
    weights: dict[str, Any] = {}
    for name, options in KINDS.items():
        runners[name], row = train(name, common | options, args.out, args.seed, weights)
        rows.append(row)
    picture(runners, rows, args.out / 'demo.png')
    found = dict(data='synthetic scenes', rows=rows)
    AtomicBackend().put_text(json.dumps(found, indent=1) + '\n', args.out / 'demo.json')
    print(f'\n{table(rows)}\n')
    print('The scenes are synthetic and the trunk is tiny: this shows that all works, not how well DINOv3 does.')
    print(f'Picture: {args.out / "demo.png"}   {time.perf_counter() - start:.0f} s in all')


if __name__ == '__main__':
    main()
