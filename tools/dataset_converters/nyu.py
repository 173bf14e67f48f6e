"""Turn NYU Depth v2 into what NYUDataset reads: OUT/{images,annotations}/{train,test}/NAME.{jpg,png}.

    python tools/dataset_converters/nyu.py labeled nyu_depth_v2_labeled.mat splits.mat data/nyu
    python tools/dataset_converters/nyu.py bts dataset/nyu_depth_v2 data/nyu --lists bts/train_test_inputs

`labeled` reads the official labelled set: 795 images to train, 654 to test. The two files are those of
https://cs.nyu.edu/~fergus/datasets/nyu_depth_v2.html, and reading them takes `pip install h5py scipy`. Their depth is
filled in where the sensor had no reading; --raw-depths takes the readings alone, as the usual test set has them.

`bts` reads the folders that most published numbers come from (https://github.com/cleinc/bts): sync/ with 24,231 pairs
to train, official_splits/test/ with 654, as nyudepthv2_train_files_with_gt.txt and …_test_… list them. The files are
copied as they are.

Depth becomes 16-bit millimetres, 0 where there is no reading. Broken off and started again, it goes on.
"""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from mmengine.utils import ProgressBar

from daga_mm.cli.errors import one_line_errors
from daga_mm.cli.folders import claim, write_whole
from daga_mm.cli.parser import folder, make_parser
from daga_mm.errors import as_run_error

SIZE = (480, 640)
LISTS = {  # split: the list of BTS, and the folder that its names start from
    'train': ('nyudepthv2_train_files_with_gt.txt', 'sync'),
    'test': ('nyudepthv2_test_files_with_gt.txt', 'official_splits/test'),
}


class Pair(NamedTuple):
    """An image and its depth; ``read`` gives the two files' contents."""

    split: str
    name: str
    read: Callable[[], tuple[bytes, bytes]]


# -- the labelled set ----------------------------------------------------------------------------------------------


def labeled(mat: Path, splits: Path, raw: bool) -> list[Pair]:
    """The pairs of the official file: numbers from 1 on, as splits.mat has them, are their names.

    Args:
        mat: nyu_depth_v2_labeled.mat, an HDF5 file: images (N, 3, 640, 480), uint8, and depths (N, 640, 480), metres.
        splits: splits.mat: trainNdxs and testNdxs, from 1 on.
        raw: Take rawDepths.

    Raises:
        FileNotFoundError, ModuleNotFoundError, ValueError: A file, a package, or what a file should hold is absent.
    """
    try:
        import h5py
        import scipy.io
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f'MATLAB files are read with h5py and scipy: pip install {error.name}') from None
    for path in (mat, splits):
        if not path.is_file():
            raise FileNotFoundError(f'no file {path}')
    key = 'rawDepths' if raw else 'depths'
    try:
        file = h5py.File(mat)
    except OSError as error:
        raise ValueError(f'{mat} is no HDF5 file (2.8 GB is its whole size): {error}') from None
    absent = [name for name in ('images', key) if name not in file]
    if absent:
        raise ValueError(f'{mat} lacks {" and ".join(absent)}; it holds {", ".join(file)}')
    images, depths = file['images'], file[key]
    count = len(images)
    if images.shape[1:] != (3, *SIZE[::-1]) or depths.shape != (count, *SIZE[::-1]) or images.dtype != np.uint8:
        raise ValueError(
            f'{mat}: images {images.shape} of {images.dtype} and {key} {depths.shape} are not those of NYU'
        )
    try:
        indices = scipy.io.loadmat(splits, variable_names=['trainNdxs', 'testNdxs'])
        numbers = {split: indices[f'{split}Ndxs'].ravel().tolist() for split in LISTS}
    except (KeyError, ValueError, TypeError, NotImplementedError) as error:
        raise ValueError(f'{splits} is not the official splits.mat with trainNdxs and testNdxs: {error}') from None
    outside = [number for found in numbers.values() for number in found if not 1 <= number <= count]
    if outside:
        raise ValueError(f'{splits} names image {outside[0]}, {mat} has {count}')

    def read(number: int) -> tuple[bytes, bytes]:
        image = images[number - 1].transpose(2, 1, 0)[..., ::-1]  # MATLAB's RGB planes, columns first, to BGR pixels
        return encode('.jpg', image), encode('.png', millimetres(depths[number - 1].T, f'{mat}, {key} {number}'))

    return [
        Pair(split, f'nyu_{number:04d}', partial(read, number)) for split, found in numbers.items() for number in found
    ]


def millimetres(depth: np.ndarray, name: str) -> np.ndarray:
    """Metres to 16-bit millimetres.

    Raises:
        ValueError: There is NaN among them, or more than 65.535 m, or less than 0.
    """
    if not (np.isfinite(depth).all() and depth.min() >= 0 and depth.max() <= 65.535):
        raise ValueError(f'{name}: depth from {depth.min()} to {depth.max()} m is not that of NYU')
    return np.rint(depth * 1000).astype(np.uint16)


def encode(codec: str, pixels: np.ndarray) -> bytes:
    options = [cv2.IMWRITE_JPEG_QUALITY, 95] if codec == '.jpg' else []  # 95 as BTS's own, which are tested on
    _, data = cv2.imencode(codec, np.ascontiguousarray(pixels), options)
    return data.tobytes()


# -- the folders of BTS --------------------------------------------------------------------------------------------


def bts(root: Path, lists: Path) -> list[Pair]:
    """The pairs that BTS's lists name: SCENE/rgb_NUMBER.jpg, SCENE/sync_depth_NUMBER.png and a focal length a line.

    Raises:
        FileNotFoundError: A list is absent.
        ValueError: A list has another form.
    """
    pairs = []
    for split, (name, place) in LISTS.items():
        path = lists / name
        if not path.is_file():
            raise FileNotFoundError(f'no list {path}: --lists names the folder train_test_inputs of BTS')
        for line in path.read_text().splitlines():
            parts = line.split()
            if not parts:
                continue
            if len(parts) < 2:
                raise ValueError(f'{path}: "{line}" does not name an image and its depth')
            image, depth = (root / place / part.lstrip('/') for part in parts[:2])
            pair = f'{image.parent.name}_{image.stem.removeprefix("rgb_")}'
            pairs.append(Pair(split, pair, partial(copy, image, depth)))
    return pairs


def copy(image: Path, depth: Path) -> tuple[bytes, bytes]:
    """The contents of both files, after a look at them.

    Raises:
        FileNotFoundError: One is absent.
        ValueError: One is damaged, depth has not 16 bits, or another size than its image.
    """
    for path in (image, depth):
        if not path.is_file():
            raise FileNotFoundError(f'no file {path}, which the list names: ROOT holds sync/ and official_splits/test/')
    contents = image.read_bytes(), depth.read_bytes()
    pixels, steps = (decode(data) for data in contents)
    if pixels is None or steps is None:
        raise ValueError(f'{image if pixels is None else depth} is no image, or a damaged one')
    if steps.dtype != np.uint16 or steps.shape != pixels.shape[:2]:
        raise ValueError(
            f'{depth} has {steps.dtype} {steps.shape}, and should have uint16 {pixels.shape[:2]}, the size of {image}'
        )
    return contents


def decode(data: bytes) -> np.ndarray | None:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) if data else None


# -- writing -------------------------------------------------------------------------------------------------------


def convert(pairs: list[Pair], out: Path) -> None:
    """Write what is not there yet. Depth goes first, so that an image that is there has its depth."""
    bar = ProgressBar(len(pairs))
    for split, name, read in pairs:
        image, depth = out / 'images' / split / f'{name}.jpg', out / 'annotations' / split / f'{name}.png'
        if not image.exists():
            pixels, steps = read()
            write_whole(depth, steps)
            write_whole(image, pixels)
        bar.update()
    print(f'\n{len(pairs)} pairs in {out}')


def parse_args() -> argparse.Namespace:
    parser = make_parser(__doc__)
    commands = parser.add_subparsers(dest='source', required=True)
    official = commands.add_parser('labeled', help='nyu_depth_v2_labeled.mat and splits.mat')
    official.add_argument('mat', type=Path)
    official.add_argument('splits', type=Path)
    official.add_argument('out', type=folder, help='the folder to make, or to go on with')
    official.add_argument('--raw-depths', action='store_true', help="the sensor's readings, nothing filled in")
    folders = commands.add_parser('bts', help='sync/ and official_splits/test/')
    folders.add_argument('root', type=Path)
    folders.add_argument('out', type=folder, help='the folder to make, or to go on with')
    folders.add_argument('--lists', type=Path, help='where nyudepthv2_…_files_with_gt.txt are (default: ROOT)')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    record = {'maker': 'tools/dataset_converters/nyu.py of daga_mm', 'source': args.source}
    with one_line_errors(args.traceback), as_run_error(ModuleNotFoundError, OSError, ValueError):
        if args.source == 'labeled':
            pairs = labeled(args.mat, args.splits, args.raw_depths)
            record['depths'] = 'rawDepths' if args.raw_depths else 'depths'
        else:
            pairs = bts(args.root, args.lists or args.root)
        try:
            claim(args.out, record)
            convert(pairs, args.out)
        except KeyboardInterrupt:
            raise SystemExit(f'\nstopped; the same command goes on with {args.out}') from None


if __name__ == '__main__':
    main()
