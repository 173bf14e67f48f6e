"""Boxes, classes of pixels and metres in one picture, from three models on one frozen trunk; ten minutes.

    python demo/many_tasks.py

Three models are trained apart on synthetic scenes, each with DAGA at the last two blocks of the same small trunk
(demo/tasks). Then `daga_mm.apis.load_tasks` loads them, the trunk once, and they look at a scene that is in none of the
data sets. What was trained is kept in demo/output/tasks; the picture is demo/output/tasks.png.
"""

import argparse
import time
import warnings
from pathlib import Path
from typing import Any

import cv2
import matplotlib

matplotlib.use('Agg')
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from mmengine.runner import Runner
from scenes import render_scene, write_ade20k, write_coco, write_nyu
from scenes.labels import CEILING, FLOOR, WALL

from daga_mm.apis import Result, load_tasks
from daga_mm.cli.config import load_config
from daga_mm.io import write_figure

HERE = Path(__file__).parent
DATA = {'segment': ('ade20k', write_ade20k), 'detect': ('coco', write_coco), 'depth': ('nyu', write_nyu)}
SIZE = (144, 192)  # height and width of the scenes that the models were trained on
WHITE = dict(facecolor='white', alpha=0.8, edgecolor='none', pad=1.5)


def class_colours(ids: np.ndarray) -> np.ndarray:
    """(…, 3) uint8 RGB, one colour per id, the same in every picture; 0 is dark grey."""
    steps = np.arange(256)
    hsv = np.stack([steps * 111 % 180, 120 + steps * 29 % 110, 150 + steps * 53 % 106], axis=-1).astype(np.uint8)
    table = cv2.cvtColor(hsv[None], cv2.COLOR_HSV2RGB)[0]
    table[[0, WALL, FLOOR, CEILING]] = [[45] * 3, [128, 124, 118], [92, 76, 64], [176, 176, 168]]
    return table[ids.astype(np.int64) % 256]


def train(name: str, data: Path, folder: Path, scenes: int, short: bool) -> tuple[Path, Path]:
    """The config and the checkpoint of a task; it is trained if there is none yet."""
    path, work_dir = HERE / f'tasks/{name}.py', folder / name
    pointer = work_dir / 'last_checkpoint'
    if not pointer.is_file():
        kind, write = DATA[name]
        root = write(data / kind, scenes, max(1, scenes // 5), seed=0, workers=2 if scenes > 100 else 1)
        root = root / 'ADEChallengeData2016' if kind == 'ade20k' else root
        options: dict[str, Any] = {
            f'{split}_dataloader.dataset.data_root': str(root) for split in ('train', 'val', 'test')
        }
        if kind == 'coco':
            annotations = str(root / 'annotations/instances_val2017.json')
            options |= {f'{split}_evaluator.ann_file': annotations for split in ('val', 'test')}
        if short:
            options |= {'default_hooks.checkpoint.interval': 1, 'train_cfg.val_interval': 2}
            options['train_cfg.max_epochs' if kind == 'coco' else 'train_cfg.max_iters'] = 1
        config = load_config(path, options, str(work_dir))
        config.visualizer.name = config.experiment_name = f'{name}_{time.time_ns()}'
        config.randomness = dict(seed=0)
        Runner.from_cfg(config).train()
    return path, Path(pointer.read_text().strip())


def picture(results: dict[str, Result], classes: dict[str, tuple[str, ...]], score: float) -> Figure:
    """The image with the classes of its pixels and its objects, each with a distance; beside it the depth in metres."""
    image = results['segment'].image
    labels = results['segment'].pred_sem_seg.data[0].numpy()
    depth = results['depth'].pred_depth_map.data[0].numpy()
    found = results['detect'].pred_instances
    height, width = labels.shape
    colours = class_colours(np.arange(1, 1 + len(classes['segment']))) / 255
    size = (14.1, 5.7)  # inches: two pictures of 6.4×4.8, a bar, headings and a legend
    figure = plt.figure(figsize=size)
    left, right, scale = (
        figure.add_axes((start / size[0], 0.5 / size[1], across / size[0], 4.8 / size[1]))
        for start, across in ((0.1, 6.4), (6.7, 6.4), (13.2, 0.2))
    )
    left.imshow(image)
    left.imshow(colours[labels], alpha=0.45, interpolation='nearest')
    for box, mask, label, sure in zip(found.bboxes, found.masks, found.labels, found.scores, strict=True):
        if sure < score or not mask.any():
            continue
        x, y, x2, y2 = box.tolist()
        left.add_patch(Rectangle((x, y), x2 - x, y2 - y, fill=False, edgecolor='white', linewidth=2))
        words = f'{classes["detect"][int(label)]}, {np.median(depth[mask.numpy()]):.1f} m'
        left.text(x, max(y, 0.03 * height), words, fontsize=9, color='black', va='center', bbox=WHITE)
    shown = [number for number in np.unique(labels) if (labels == number).mean() > 0.005]
    patches = [Patch(color=colours[number], label=classes['segment'][number].strip()) for number in shown]
    figure.legend(handles=patches, loc='lower left', ncol=12, fontsize=9, frameon=False)
    figure.colorbar(right.imshow(depth, cmap='turbo_r'), cax=scale, format='{x:.1f} m')
    titles = {left: 'classes of pixels, objects, and how far they are', right: 'depth'}
    for axis, title in titles.items():
        axis.set_title(title, fontsize=12)
        axis.set(xticks=[], yticks=[], xlim=(0, width), ylim=(height, 0))
        axis.spines[:].set_visible(False)
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--scene', type=int, default=7, help='number of the scene that is looked at (default: 7)')
    parser.add_argument('--score', type=float, default=0.6, help='the least score of an object to draw (default: 0.6)')
    parser.add_argument('--out', type=Path, default=HERE / 'output', help='where results go (default: demo/output)')
    parser.add_argument('--data', type=Path, default=HERE / 'data', help='where the scenes go (default: demo/data)')
    parser.add_argument('--scenes', type=int, default=300, help='scenes to train on (default: 300)')
    parser.add_argument('--short', action='store_true', help='train a step each, to try it out')
    args = parser.parse_args()
    warnings.filterwarnings('ignore', module='mm.*')  # deprecations inside the mm packages: no matter of the reader's
    files = {name: train(name, args.data, args.out / 'tasks', args.scenes, args.short) for name in DATA}
    tasks = load_tasks(files)
    image = render_scene((99, args.scene), (768, 576)).image  # a seed that no data set has
    results = tasks.predict(image, size=SIZE)
    classes = {name: model.classes for name, model in tasks.models.items()}
    path = args.out / 'tasks.png'
    write_figure(picture(results, classes, args.score), path, dpi=100)
    print('One trunk for three tasks; blocks of eight that run once:', min(tasks.shared_until.values()))
    print('The scenes are synthetic and the trunk is tiny: this shows that all works, not how well DINOv3 does.')
    print(f'Picture: {path}')


if __name__ == '__main__':
    main()
