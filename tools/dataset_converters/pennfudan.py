"""Turn the Penn-Fudan pedestrians into a data set in COCO's format: OUT/images/NAME.png, OUT/annotations/*.json.

    python tools/dataset_converters/pennfudan.py PennFudanPed data/pennfudan

PennFudanPed is the folder in https://www.cis.upenn.edu/~jshi/ped_html/PennFudanPed.zip. Its authors name no split: 50
of the 170 images, drawn with a fixed seed, become test images, the other 120 training images. Every pedestrian that has
a mask is an instance of the class person, also those that were labelled after the paper.
"""

import argparse
import json
import shutil
from pathlib import Path

from daga_mm.cli.errors import one_line_errors
from daga_mm.cli.parser import folder, make_parser
from daga_mm.errors import as_run_error

IMAGES, TEST_IMAGES = 170, 50


def parse_args() -> argparse.Namespace:
    parser = make_parser(__doc__)
    parser.add_argument('root', type=Path, help='the folder PennFudanPed, unpacked')
    parser.add_argument('out', type=folder, help='the folder to make')
    return parser.parse_args()


def convert(root: Path, out: Path) -> None:
    """Write images and annotations. ``out`` appears when it is complete; an interrupted run starts again.

    Raises:
        FileExistsError: ``out`` exists.
        FileNotFoundError: A mask is missing.
        ValueError: There are not as many images as expected, or a file is damaged or has another size.
    """
    import numpy as np
    from mmengine.utils import ProgressBar

    if out.exists():
        raise FileExistsError(f'{out} exists, expected a folder to make: name another one or remove it')
    images = sorted((root / 'PNGImages').glob('*.png'))
    if len(images) != IMAGES:
        raise ValueError(
            f'found {len(images)} images in {root}/PNGImages, expected {IMAGES}: unpack PennFudanPed.zip again'
        )
    test = set(np.random.RandomState(0).permutation(IMAGES)[:TEST_IMAGES].tolist())  # a stream that NumPy keeps
    splits = {'train': Annotations(), 'test': Annotations()}
    part = out.with_name(f'{out.name}.part')
    shutil.rmtree(part, ignore_errors=True)
    for name in ('images', 'annotations'):
        (part / name).mkdir(parents=True)
    bar = ProgressBar(IMAGES)
    for number, image in enumerate(images):
        splits['test' if number in test else 'train'].add(number + 1, image, root / f'PedMasks/{image.stem}_mask.png')
        shutil.copyfile(image, part / 'images' / image.name)
        bar.update()
    for split, annotations in splits.items():
        (part / f'annotations/instances_{split}.json').write_text(json.dumps(annotations.content))
    part.rename(out)
    print(f'\n{out}: ' + ', '.join(f'{split} {annotations}' for split, annotations in splits.items()))


class Annotations:
    """Instances of one class in COCO's format.

    Attributes:
        content: What a file holds: images, annotations, categories.
    """

    def __init__(self) -> None:
        self.content: dict[str, list] = {
            'images': [],
            'annotations': [],
            'categories': [{'id': 1, 'name': 'person'}],
        }

    def __str__(self) -> str:
        return f'{len(self.content["images"])} images with {len(self.content["annotations"])} instances'

    def add(self, image_id: int, image: Path, mask: Path) -> None:
        """Add an image and its instances: the numbers from 1 on in the mask.

        Raises:
            FileNotFoundError, ValueError: See convert.
        """
        import cv2
        import numpy as np
        from pycocotools import mask as coco_mask

        if not mask.is_file():
            raise FileNotFoundError(f'found no {mask}, expected the mask of {image}: unpack PennFudanPed.zip again')
        pixels, numbers = cv2.imread(str(image)), cv2.imread(str(mask), cv2.IMREAD_UNCHANGED)
        for path, read in ((image, pixels), (mask, numbers)):
            if read is None:
                raise ValueError(f'{path} is not an image, or is damaged: unpack PennFudanPed.zip again')
        if numbers.shape != pixels.shape[:2]:
            raise ValueError(f'{mask} has the shape {numbers.shape}, expected {pixels.shape[:2]}, that of {image}')
        height, width = numbers.shape
        self.content['images'].append({'id': image_id, 'file_name': image.name, 'height': height, 'width': width})
        for number in np.unique(numbers[numbers > 0]):
            code = coco_mask.encode(np.asfortranarray(numbers == number, dtype=np.uint8))
            self.content['annotations'].append(
                {
                    'id': len(self.content['annotations']) + 1,
                    'image_id': image_id,
                    'category_id': 1,
                    'bbox': coco_mask.toBbox(code).tolist(),
                    'area': float(coco_mask.area(code)),
                    'iscrowd': 0,
                    'segmentation': {'size': [height, width], 'counts': code['counts'].decode()},
                }
            )


def main() -> None:
    args = parse_args()
    with one_line_errors(args.traceback), as_run_error(OSError, ValueError):
        convert(args.root, args.out)


if __name__ == '__main__':
    main()
