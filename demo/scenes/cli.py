"""The command line of the scene generator."""

import argparse
import sys
import time
from pathlib import Path

import cv2

from .preview import contact_sheet
from .writers import WRITERS

DATA = Path(__file__).resolve().parents[1] / 'data'


def main(arguments: list[str] | None = None) -> None:
    """Write what the arguments (None: those of the process) ask for; exits with a message where that is refused."""
    parser = argparse.ArgumentParser(
        prog='demo/make_scenes.py',
        description='Write synthetic indoor scenes in the on-disk layouts of COCO, ADE20K, NYU and ImageNet.',
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument('--out', type=Path, default=DATA, help='each layout becomes a folder of its name in here')
    parser.add_argument('--formats', nargs='+', choices=list(WRITERS), default=list(WRITERS), metavar='FORMAT',
                        help=f'any of {", ".join(WRITERS)}')  # fmt: skip
    parser.add_argument('--train', type=int, default=300, help='training images per layout')
    parser.add_argument('--val', type=int, default=60, help='validation images per layout')
    parser.add_argument('--size', type=int, nargs=2, default=(192, 144), metavar=('W', 'H'), help='pixels')
    parser.add_argument('--seed', type=int, default=0, help='the same seed gives the same bytes')
    parser.add_argument('--workers', type=int, default=2, help='processes')
    parser.add_argument('--preview', type=Path, metavar='FILE.png', help='write a contact sheet only, no data set')
    args = parser.parse_args(arguments)

    if args.preview:
        args.preview.parent.mkdir(parents=True, exist_ok=True)
        if not cv2.imwrite(str(args.preview), contact_sheet(args.seed, tuple(args.size))[..., ::-1]):
            sys.exit(f'could not write {args.preview}')
        print(args.preview)
        return
    for name in args.formats:
        start = time.perf_counter()
        try:
            root = WRITERS[name](args.out / name, args.train, args.val, args.seed, tuple(args.size), args.workers)
        except (FileExistsError, ValueError) as error:
            sys.exit(str(error))
        print(f'{root}  ({time.perf_counter() - start:.1f} s)')
