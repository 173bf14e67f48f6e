"""Write a trained model as one file that runs without this package: ONNX, or PyTorch's exported program (pt2).

    python tools/export.py CONFIG CHECKPOINT --out model.onnx --size 512 512
    python tools/export.py CONFIG CHECKPOINT --format pt2 --out model.pt2 --dynamic

The graph takes 8-bit RGB images (N, H, W, 3); normalisation is inside, and results have the size of the images. It is
compared with the model before it gets its name. Classification, segmentation, depth, and DINO-DETR are exported whole,
other detectors up to the neck. docs/deploy.md shows how to run the files. In Python: daga_mm.apis.export.
"""

import argparse

from daga_mm.cli.errors import one_line_errors
from daga_mm.cli.parser import add_config, file, make_parser, positive
from daga_mm.errors import as_run_error


def parse_args() -> argparse.Namespace:
    parser = make_parser(__doc__)
    add_config(parser)
    parser.add_argument(
        'checkpoint', nargs='?', help='checkpoint file; none where CONFIG is the folder of a published model'
    )
    parser.add_argument('--out', type=file, required=True, metavar='FILE', help='file to write')
    parser.add_argument('--format', choices=['onnx', 'pt2'], help='default: the suffix of FILE')
    parser.add_argument(
        '--size',
        type=positive,
        nargs=2,
        metavar=('H', 'W'),
        help='height and width of the images (default: those to which the test pipeline brings --image)',
    )
    parser.add_argument('--dynamic', action='store_true', help='take images of any size, and any number at once')
    parser.add_argument(
        '--image', metavar='FILE', help='photograph on which the file is checked (default: one that matplotlib brings)'
    )
    args = parser.parse_args()
    args.format = args.format or args.out.suffix[1:]
    return args


def main() -> None:
    args = parse_args()
    with one_line_errors(args.traceback):
        from daga_mm.apis import export, load

        with as_run_error(OSError, ValueError, ImportError):
            model = load(args.config, args.checkpoint, 'cpu', options=args.cfg_options)
            print(f'Exporting to {args.out}: tracing and checking take a minute or more.')
            size = tuple(args.size) if args.size else None
            deviations = export(model, args.out, args.format, size, args.dynamic, args.image)
        found = ', '.join(f'{name} {value:.1e}' for name, value in deviations.items())
        print(f'{args.out}: {args.out.stat().st_size / 1e6:.1f} MB. Deviations from the model: {found}.')


if __name__ == '__main__':
    main()
