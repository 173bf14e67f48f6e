"""Turn the Penn-Fudan pedestrians into a COCO data set: OUT/{images/NAME.jpg,annotations/instances_{train,test}.json}.

    python tools/dataset_converters/pennfudan.py PennFudanPed data/pennfudan

PennFudanPed is the folder in https://www.cis.upenn.edu/~jshi/ped_html/PennFudanPed.zip: 170 images with 423
pedestrians. Every value of a mask other than 0 is one, the small and occluded ones that the authors added later
included. The data set has no split of its own; 50 images drawn with seed 0 become the test set. Images become JPEG of
quality 90. Masks are kept exactly, as run lengths.
"""

import argparse
import json
from pathlib import Path

import cv2
import numpy as np
from mmengine.utils import ProgressBar

from daga_mm.cli.errors import one_line_errors
from daga_mm.cli.folders import whole_folder
from daga_mm.cli.parser import folder, make_parser
from daga_mm.errors import as_run_error

COUNT = 170
TEST_COUNT = 50


def find_images(source: Path) -> list[Path]:
    """The images, sorted by name: their number, from 1 on, is their id.

    Raises:
        FileNotFoundError: There are fewer or more than Penn-Fudan has.
    """
    images = sorted((source / 'PNGImages').glob('*.png'))
    if len(images) != COUNT:
        raise FileNotFoundError(
            f'{source / "PNGImages"} holds {len(images)} images (*.png), expected the {COUNT} of Penn-Fudan: '
            'give the folder PennFudanPed of PennFudanPed.zip'
        )
    return images


def draw_test_ids() -> set[int]:
    """The ids of the test images."""
    # RandomState, since NumPy keeps its numbers the same in all versions.
    return {int(index) + 1 for index in np.random.RandomState(0).permutation(COUNT)[:TEST_COUNT]}


def read_pair(image: Path, mask: Path) -> tuple[np.ndarray, np.ndarray]:
    """The pixels (H, W, 3) of an image and its mask (H, W): 0, or the number of a pedestrian.

    Raises:
        FileNotFoundError: There is no such mask.
        ValueError: A file is damaged, or the mask does not fit the image.
    """
    if not mask.is_file():
        raise FileNotFoundError(f'no mask {mask}, expected one for each image, {image} among them')
    pixels = cv2.imread(str(image), cv2.IMREAD_COLOR)
    instances = cv2.imread(str(mask), cv2.IMREAD_UNCHANGED)
    if pixels is None or instances is None:
        raise ValueError(f'{mask if instances is None else image} is not an image, or is damaged: download it again')
    if instances.shape != pixels.shape[:2]:
        raise ValueError(f'{mask} has shape {instances.shape}, expected {pixels.shape[:2]}, that of {image}')
    return pixels, instances


def annotate(instances: np.ndarray) -> list[dict]:
    """COCO's annotations of a mask (H, W), one for each value other than 0, without ids."""
    from pycocotools import mask

    found = []
    for value in np.unique(instances[instances > 0]):
        run_lengths = mask.encode(np.asfortranarray(instances == value))
        found.append(
            dict(
                category_id=1,
                bbox=mask.toBbox(run_lengths).tolist(),
                area=float(mask.area(run_lengths)),
                iscrowd=0,
                segmentation=dict(size=run_lengths['size'], counts=run_lengths['counts'].decode()),
            )
        )
    return found


def convert(source: Path, out: Path) -> None:
    """Write the data set. ``out`` appears when it is complete.

    Raises:
        FileExistsError: ``out`` exists.
        FileNotFoundError, ValueError: See find_images and read_pair.
    """
    images, test_ids = find_images(source), draw_test_ids()
    splits: dict[str, dict[str, list]] = {
        split: dict(images=[], annotations=[], categories=[dict(id=1, name='person')]) for split in ('train', 'test')
    }
    bar = ProgressBar(COUNT)
    with whole_folder(out) as part:
        for name in ('images', 'annotations'):
            (part / name).mkdir()
        for image_id, path in enumerate(images, 1):
            pixels, instances = read_pair(path, source / 'PedMasks' / f'{path.stem}_mask.png')
            content = splits['test' if image_id in test_ids else 'train']
            name, (height, width) = f'{path.stem}.jpg', instances.shape
            content['images'].append(dict(id=image_id, file_name=name, height=height, width=width))
            content['annotations'] += [
                dict(id=number, image_id=image_id, **annotation)
                for number, annotation in enumerate(annotate(instances), len(content['annotations']) + 1)
            ]
            data = cv2.imencode('.jpg', pixels, [cv2.IMWRITE_JPEG_QUALITY, 90])[1]
            (part / 'images' / name).write_bytes(data.tobytes())
            bar.update()
        for split, content in splits.items():
            (part / f'annotations/instances_{split}.json').write_text(json.dumps(content))
    counts = ', '.join(f'{len(content["images"])} to {split}' for split, content in splits.items())
    print(f'\n{COUNT} images in {out}: {counts}')


def parse_args() -> argparse.Namespace:
    parser = make_parser(__doc__)
    parser.add_argument('source', type=Path, help='folder PennFudanPed')
    parser.add_argument('out', type=folder, help='the folder to make')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    with one_line_errors(args.traceback), as_run_error(OSError, ValueError, ModuleNotFoundError):
        convert(args.source, args.out)


if __name__ == '__main__':
    main()
