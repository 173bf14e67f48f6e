"""Draw what detectors found in the demo's scenes beside what is there: a column for each folder of tools/infer.py.

    python tools/infer.py demo/data/coco/val2017 demo/mask_rcnn_scenes.py CHECKPOINT --out pictures/DAGA
    python demo/draw_detections.py pictures/frozen pictures/DAGA --out detection.jpg

Boxes, masks and names; those of a detector from a score on. The first scenes are drawn, not the best.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use('Agg')
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from daga_mm.cli.config import load_config

HERE = Path(__file__).parent
Found = list[dict[str, Any]]  # of each object: name, box as x y x y, mask (H, W), and a score if it was detected


def truth(coco: COCO, image: int) -> Found:
    """The objects of a scene."""
    found = []
    for annotation in coco.loadAnns(coco.getAnnIds([image])):
        x, y, width, height = annotation['bbox']
        name = coco.cats[annotation['category_id']]['name']
        found.append(dict(name=name, box=(x, y, x + width, y + height), mask=coco.annToMask(annotation)))
    return found


def detections(file: Path, classes: tuple[str, ...], least: float) -> Found:
    """What tools/infer.py wrote of a scene, from a score on."""
    read = json.loads(file.read_text())
    return [
        dict(name=classes[label], score=score, box=tuple(box), mask=coco_mask.decode(mask))
        for label, score, box, mask in zip(*(read[k] for k in ('labels', 'scores', 'bboxes', 'masks')), strict=True)
        if score >= least
    ]


def draw(axis: Axes, image: np.ndarray, found: Found, colours: dict[str, Any]) -> None:
    """The image with the objects in it, the large ones below."""
    axis.imshow(image, interpolation='bilinear')
    axis.axis('off')
    height, width = image.shape[:2]
    for thing in sorted(found, key=lambda thing: -int(thing['mask'].sum())):
        colour, (left, top, right, bottom) = colours[thing['name']], thing['box']
        layer = np.zeros((height, width, 4))
        layer[thing['mask'] > 0] = (*colour, 0.45)
        axis.imshow(layer, interpolation='nearest')
        axis.add_patch(Rectangle((left, top), right - left, bottom - top, fill=False, edgecolor=colour, linewidth=1.2))
        score = f' {100 * thing["score"]:.0f}' if 'score' in thing else ''
        side = dict(x=left, ha='left') if left < width / 2 else dict(x=right, ha='right')  # within the picture
        axis.text(
            y=max(top, 5), s=thing['name'] + score, fontsize=6.5, va='center', color='white', **side,
            bbox=dict(facecolor=colour, edgecolor='none', pad=0.8),
        )  # fmt: skip
    axis.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('folders', nargs='+', type=Path, help='--out of tools/infer.py; its name is the heading')
    parser.add_argument('--out', type=Path, required=True, metavar='FILE', help='the picture')
    parser.add_argument('--data', type=Path, default=HERE / 'data/coco', help='the scenes (default: demo/data/coco)')
    parser.add_argument('--scenes', type=int, default=3, help='how many of the first (default: 3)')
    parser.add_argument('--score', type=float, default=0.5, help='the least score to draw (default: 0.5)')
    args = parser.parse_args()
    classes = tuple(load_config(HERE / 'mask_rcnn_scenes.py').classes)
    colours = dict(zip(classes, [*plt.get_cmap('tab10').colors, (0.1, 0.1, 0.4)], strict=True))
    coco = COCO(args.data / 'annotations/instances_val2017.json')
    scenes = sorted(coco.imgs)[: args.scenes]
    columns = 1 + len(args.folders)
    wide, high, head = 3.2 * columns, 2.4 * len(scenes), 0.25  # inches; a scene is 4:3
    figure, axes = plt.subplots(len(scenes), columns, figsize=(wide, high + head), squeeze=False)
    for line, number in zip(axes, scenes, strict=True):
        file = Path(coco.imgs[number]['file_name'])
        image = plt.imread(args.data / 'val2017' / file)
        draw(line[0], image, truth(coco, number), colours)
        for axis, folder in zip(line[1:], args.folders, strict=True):
            found = detections(folder / 'preds' / f'{file.stem}.json', classes, args.score)
            draw(axis, image, found, colours)
    for axis, title in zip(axes[0], ['ground truth', *(folder.name for folder in args.folders)], strict=True):
        axis.set_title(title, fontsize=10)
    figure.subplots_adjust(left=0, right=1, bottom=0, top=high / (high + head), wspace=0.02, hspace=0.02)
    figure.savefig(args.out, dpi=100)


if __name__ == '__main__':
    main()
