"""Corrupt clean ImageNet images as ImageNet-C does: OUT/CORRUPTION/SEVERITY/WNID/NAME.JPEG.

    python tools/dataset_converters/imagenet_c.py data/imagenet/val data/imagenet-c --workers 16

15 corruptions in 5 severities, with imagecorruptions-imaug (pip install imagecorruptions-imaug). As in
hendrycks/robustness (ImageNet-C/create_c/make_imagenet_c.py) the short side becomes 256 pixels, the centre 224 × 224 is
cut out and corrupted, and JPEG has quality 85. It is not ImageNet-C all the same: the noise is another, and the library
redraws some corruptions. Published numbers compare with the official files only: https://zenodo.org/records/2235448

Broken off and started again, it goes on.
"""

import argparse
import hashlib
import io
import multiprocessing
import signal
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from importlib import metadata
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmengine.utils import ProgressBar
from PIL import Image
from torchvision.transforms import CenterCrop, Compose, Resize

from daga_mm.cli.errors import one_line_errors
from daga_mm.cli.folders import claim, write_whole
from daga_mm.cli.parser import folder, make_parser, positive
from daga_mm.errors import as_run_error

LIBRARY = 'imagecorruptions-imaug'
IMAGES = ('.jpeg', '.jpg', '.png')
SEVERITIES = range(1, 6)
OWN_SEED = ('impulse_noise', 'glass_blur')  # these ask for a seed, the others draw from NumPy's global generator
PREPARE = Compose([Resize(256), CenterCrop(224)])


def corrupt_image(path: Path, out: Path, seed: int) -> None:
    """Write all corruptions of one image, whose class is its folder; those that are there stay.

    Every file has its own random numbers, from the seed, its corruption, severity, class and name.

    Raises:
        ValueError: The image can't be read.
    """
    import imagecorruptions

    image = None
    for corruption in imagecorruptions.get_corruption_names():
        for severity in SEVERITIES:
            name = Path(corruption, str(severity), path.parent.name, f'{path.stem}.JPEG')
            if (out / name).exists():
                continue
            if image is None:
                image = read(path)
            own = int.from_bytes(hashlib.sha256(f'{seed} {name.as_posix()}'.encode()).digest()[:4])
            np.random.seed(own)  # noqa: NPY002
            options = {'seed': own} if corruption in OWN_SEED else {}
            corrupted = imagecorruptions.corrupt(image, severity, corruption, **options)
            buffer = io.BytesIO()
            Image.fromarray(corrupted).save(buffer, 'JPEG', quality=85, optimize=True)
            write_whole(out / name, buffer.getvalue())


def read(path: Path) -> np.ndarray:
    """The centre of an image: (224, 224, 3), RGB."""
    try:
        with Image.open(path) as image:
            return np.array(PREPARE(image.convert('RGB')))
    except OSError as error:
        raise ValueError(f'{path} is no image, or a damaged one: {error}') from None


def find_images(clean: Path) -> list[Path]:
    """All images of all class folders, in order.

    Raises:
        FileNotFoundError: There are none.
    """
    found = sorted(path for path in clean.glob('*/*') if path.suffix.lower() in IMAGES)
    if not found:
        raise FileNotFoundError(f'no images in {clean}: it should hold a folder per class, as ImageNet has them')
    names = sorted(path.with_suffix('') for path in found)
    twice = [str(one) for one, other in pairwise(names) if one == other]
    if twice:
        raise ValueError(f'images that differ in their suffix only would become one: {", ".join(twice[:5])}')
    return found


def describe(seed: int, images: list[Path]) -> dict[str, Any]:
    """How the corruptions are made: what was made in another way must not be mixed in.

    Raises:
        ModuleNotFoundError: The library is not installed.
    """
    try:
        version = metadata.version(LIBRARY)
    except metadata.PackageNotFoundError:
        raise ModuleNotFoundError(f'the corruptions are those of {LIBRARY}: pip install {LIBRARY}') from None
    return {
        'maker': 'tools/dataset_converters/imagenet_c.py of daga_mm',
        'note': 'Not the official ImageNet-C.',
        'library': f'{LIBRARY} {version}',
        'seed': seed,
        'images': hashlib.sha256('\n'.join('/'.join(p.parts[-2:]) for p in images).encode()).hexdigest()[:16],
    }


def prepare_worker() -> None:
    """One thread, and Ctrl-C is for the process that started this one."""
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def corrupt_images(images: list[Path], out: Path, seed: int, workers: int) -> None:
    """Corrupt all images in several processes."""
    bar = ProgressBar(len(images))
    # spawn: a forked child of a process that runs threads (torch, OpenCV) can hang
    context = multiprocessing.get_context('spawn')
    with ProcessPoolExecutor(workers, context, prepare_worker) as pool:
        try:
            for _ in pool.map(partial(corrupt_image, out=out, seed=seed), images, chunksize=4):
                bar.update()
        finally:
            pool.shutdown(cancel_futures=True)
    print()


def parse_args() -> argparse.Namespace:
    parser = make_parser(__doc__)
    parser.add_argument('clean', type=Path, help='a folder with a folder of images per class')
    parser.add_argument('out', type=folder, help='the folder to make, or to go on with')
    parser.add_argument('--seed', type=int, default=0, help='the same seed gives the same images (default: 0)')
    parser.add_argument('--workers', type=positive, default=1, help='processes (default: 1)')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    with one_line_errors(args.traceback), as_run_error(ModuleNotFoundError, OSError, ValueError):
        images = find_images(args.clean)
        claim(args.out, describe(args.seed, images))
        try:
            corrupt_images(images, args.out, args.seed, args.workers)
        except KeyboardInterrupt:
            raise SystemExit(f'\nstopped; the same command goes on with {args.out}') from None


if __name__ == '__main__':
    main()
