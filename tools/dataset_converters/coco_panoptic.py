"""Make panoptic annotations from COCO's instance annotations: OUT/panoptic_NAME.json and OUT/panoptic_NAME/*.png.

    python tools/dataset_converters/coco_panoptic.py data/own/annotations/instances_train.json data/own/annotations

This is for data with masks of objects and nothing else. COCO itself publishes panoptic annotations, with 53 classes of
stuff: https://cocodataset.org/#download.

Categories become things and keep their ids. All pixels outside of objects become one segment of a stuff category that
is added behind them, `other`. Where masks overlap, the smaller object is in front; crowds are behind all others. An
object of which no pixel is left has no segment. NAME is that of the file without `instances_` and `.json`.
"""

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmengine.utils import ProgressBar

from daga_mm.cli.errors import one_line_errors
from daga_mm.cli.parser import folder, make_parser
from daga_mm.errors import as_run_error

OTHER = 1  # the segment of pixels outside of objects, in every image


def read_annotations(path: Path) -> Any:
    """pycocotools' view of a file of instances, each with a mask.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: An object has no mask, a category is called `other`, or an image is neither .jpg nor .png.
    """
    from pycocotools.coco import COCO

    if not path.is_file():
        raise FileNotFoundError(f'no annotation file {path}')
    coco = COCO(str(path))
    bare = next((one for one in coco.anns.values() if not one.get('segmentation')), None)
    if bare:
        raise ValueError(f'{path}: annotation {bare["id"]} has no mask ("segmentation"), expected one for each object')
    if 'other' in (category['name'] for category in coco.cats.values()):
        raise ValueError(f'{path} has a category other, expected none: the stuff category gets this name. Rename yours')
    strange = next((one for one in coco.imgs.values() if Path(one['file_name']).suffix not in ('.jpg', '.png')), None)
    if strange:  # upstream finds the map of an image by these suffixes
        raise ValueError(f'{path}: the image {strange["file_name"]} has another suffix than .jpg and .png: rename it')
    return coco


def find_segments(image: dict, coco: Any, other: int) -> tuple[np.ndarray, list[dict]]:
    """The segment of each pixel and what COCO's format says of each segment.

    Args:
        image: The entry of an image in the file.
        coco: The file.
        other: The id of the stuff category.

    Returns:
        Ids (H, W), and the ``segments_info``, with boxes and areas of what is seen.
    """
    from pycocotools import mask

    found = [(one, coco.annToRLE(one)) for one in coco.imgToAnns[image['id']]]
    found.sort(key=lambda pair: (not pair[0].get('iscrowd'), -int(mask.area(pair[1]))))
    ids = np.full((image['height'], image['width']), OTHER)
    info = {OTHER: dict(category_id=other, iscrowd=0)}
    for number, (one, run_lengths) in enumerate(found, OTHER + 1):
        ids[mask.decode(run_lengths) > 0] = number
        info[number] = dict(category_id=one['category_id'], iscrowd=int(one.get('iscrowd', 0)))
    segments = []
    for number in np.unique(ids).tolist():
        rows, columns = np.nonzero(ids == number)
        left, top = int(columns.min()), int(rows.min())
        box = [left, top, int(columns.max()) - left + 1, int(rows.max()) - top + 1]
        segments.append(dict(id=number, bbox=box, area=len(rows), **info[number]))
    return ids, segments


def convert(source: Path, out: Path) -> None:
    """Write the maps and the file; they appear when they are complete.

    Raises:
        FileExistsError: There are such annotations already.
        FileNotFoundError, ValueError: See read_annotations.
    """
    name = f'panoptic_{source.stem.removeprefix("instances_")}'
    maps, file = out / name, out / f'{name}.json'
    if maps.exists() or file.exists():
        raise FileExistsError(f'{maps if maps.exists() else file} exists: name another folder, or move it away')
    coco = read_annotations(source)
    other = max(coco.cats) + 1
    categories = [{**category, 'isthing': 1} for category in coco.dataset['categories']]
    categories.append(dict(id=other, name='other', supercategory='other', isthing=0))
    part = out / f'{name}.part'
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    annotations = []
    bar = ProgressBar(len(coco.imgs))
    for image in coco.dataset['images']:
        ids, segments = find_segments(image, coco, other)
        png = Path(image['file_name']).with_suffix('.png').name
        rgb = np.stack([ids & 255, ids >> 8 & 255, ids >> 16], axis=-1).astype(np.uint8)
        cv2.imwrite(str(part / png), rgb[..., ::-1])
        annotations.append(dict(image_id=image['id'], file_name=png, segments_info=segments))
        bar.update()
    content = dict(images=coco.dataset['images'], annotations=annotations, categories=categories)
    (part / file.name).write_text(json.dumps(content))
    (part / file.name).rename(file)
    part.rename(maps)
    count = sum(len(one['segments_info']) for one in annotations)
    print(f'\n{len(annotations)} images with {count} segments: {file}, {maps}')


def parse_args() -> argparse.Namespace:
    parser = make_parser(__doc__)
    parser.add_argument('instances', type=Path, help="annotations of instances with masks, in COCO's format")
    parser.add_argument('out', type=folder, help='where the panoptic annotations go')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    with one_line_errors(args.traceback), as_run_error(OSError, ValueError, ModuleNotFoundError):
        convert(args.instances, args.out)


if __name__ == '__main__':
    main()
