"""Draw what the runs of the benchmark see: image, truth, frozen trunk, DAGA, and the attention that guides it.

    python benchmarks/picture.py --out docs/images/photographs.jpg

It takes the last checkpoints of two methods on CamVid and NYUv2 from work_dirs/benchmark, and images of the test sets.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import matplotlib

matplotlib.use('Agg')
import matplotlib.pyplot as plt
import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import DATASETS, DefaultScope
from plan import HERE

from daga_mm.apis import load
from daga_mm.apis.images import read_image
from daga_mm.datasets.camvid import CamVidDataset
from daga_mm.io import write_figure

ROWS = {'camvid_linear': (8, 40), 'nyu_linear': (10, 60)}  # images of the test sets, chosen before they were looked at
NEAR, FAR = 0.5, 6.0  # metres, the ends of the colours


def look(folder: Path, indices: Sequence[int]) -> Iterator[tuple[np.ndarray, ...]]:
    """Of each test image: itself (H, W, 3), its truth and its prediction (H, W), and the attention (h, w) of a run."""
    config = Config.fromfile(folder / 'config.py')
    model = load(folder / 'config.py', folder / f'epoch_{config.train_cfg.max_epochs}.pth', 'cpu')
    names = ('gt_depth_map', 'pred_depth_map') if model.task == 'depth' else ('gt_sem_seg', 'pred_sem_seg')
    with DefaultScope.overwrite_default_scope(config.default_scope), torch.no_grad():
        dataset = DATASETS.build(config.val_dataloader.dataset)
        for index in indices:
            batch = pseudo_collate([dataset[index]])
            attention = model.model.backbone.guidance_map(model.model.data_preprocessor(batch, False)['inputs'])
            (found,) = model.model.test_step(batch)
            truth, prediction = (getattr(found, name).data[0].numpy() for name in names)
            yield read_image(found.img_path), truth, prediction, attention[0].numpy()


def colours(values: np.ndarray, dataset: str) -> np.ndarray:
    """Classes or metres (H, W) in colours (H, W, 3), 0 to 1; pixels without truth are grey."""
    if dataset.startswith('nyu'):
        shown = plt.get_cmap('turbo_r')((values - NEAR) / (FAR - NEAR))[..., :3]
        shown[values <= 0] = 0.6
        return shown
    table = np.full((256, 3), 0.6)
    palette = np.asarray(CamVidDataset.METAINFO['palette']) / 255
    table[: len(palette)] = palette
    return table[values]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--work-dir', type=Path, default=HERE.parent / 'work_dirs/benchmark')
    parser.add_argument('--methods', nargs=2, default=['frozen', 'daga_heads'], metavar='METHOD')
    parser.add_argument('--out', type=Path, required=True, metavar='FILE')
    args = parser.parse_args()
    rows = [
        (dataset, *looks)
        for dataset, indices in ROWS.items()
        for looks in zip(
            *(look(args.work_dir / dataset / method / '0', indices) for method in args.methods), strict=True
        )
    ]
    titles = ['image', 'ground truth', *args.methods, 'attention']
    figure, axes = plt.subplots(len(rows), len(titles), figsize=(2.4 * len(titles), 1.85 * len(rows) + 0.3))
    for line, (dataset, *looks) in zip(axes, rows, strict=True):
        image, truth, _, attention = looks[1]
        maps = [truth, *(prediction for _, _, prediction, _ in looks)]
        for axis, picture in zip(line, [image, *(colours(one, dataset) for one in maps)], strict=False):
            axis.imshow(picture, aspect='auto')
        line[-1].imshow(attention, cmap='inferno', aspect='auto')
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title, fontsize=12)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
    figure.subplots_adjust(left=0, right=1, bottom=0, top=1 - 0.3 / figure.get_figheight(), wspace=0.02, hspace=0.02)
    write_figure(figure, args.out, dpi=100)


if __name__ == '__main__':
    main()
