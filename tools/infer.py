"""Draw what a trained model sees: boxes and masks, colour maps, depth, the name of the class.

    python tools/infer.py IMAGE_OR_FOLDER CONFIG CHECKPOINT --out DIR

Pictures go to DIR/vis, predictions to DIR/preds, under the names of the images: detections and classes as JSON, label
maps as PNG, depth as 16-bit PNG: millimetres, or steps of 1/256 m where the model reaches beyond 65 m; with
--focal-length depth also as coloured point clouds in DIR/points. A checkpoint without the trunk finds it where it was
in training, or in the folder DINOV3_CHECKPOINTS. In Python: daga_mm.apis.load.
"""

import argparse
from pathlib import Path
from tempfile import TemporaryFile

from daga_mm.cli.errors import one_line_errors
from daga_mm.cli.parser import add_config, add_device, folder, fraction, make_parser, positive
from daga_mm.errors import as_run_error


def parse_args() -> argparse.Namespace:
    parser = make_parser(__doc__)
    parser.add_argument('images', type=Path, metavar='IMAGE_OR_FOLDER')
    add_config(parser)
    parser.add_argument(
        'checkpoint',
        nargs='?',
        help='checkpoint file, with the trunk in it or without; none where CONFIG is the folder of a published model',
    )
    parser.add_argument('--out', type=folder, required=True, metavar='DIR', help='where pictures and predictions go')
    parser.add_argument('--score', type=fraction, default=0.3, help='detection: the least score to draw (default: 0.3)')
    parser.add_argument(
        '--focal-length', type=float, metavar='PIXELS', help="depth: write point clouds; 518.86 for NYU's images"
    )
    parser.add_argument('--batch-size', type=positive, default=1, help='images, or tiles, at once (default: 1)')
    parser.add_argument(
        '--tile',
        type=positive,
        metavar='SIZE',
        help='detection, segmentation: predict large images in tiles of SIZE×SIZE pixels, and merge the predictions',
    )
    parser.add_argument(
        '--overlap', type=int, metavar='N', help='pixels that tiles have in common (default: a quarter of SIZE)'
    )
    add_device(parser)
    args = parser.parse_args()
    if args.overlap is not None and not args.tile:
        parser.error('--overlap is for tiles: give their SIZE, --tile')
    if args.overlap is not None and not 0 <= args.overlap < args.tile:
        parser.error(f'--overlap is {args.overlap}, expected 0 to {args.tile - 1}, less than --tile')
    return args


def main() -> None:
    args = parse_args()
    with one_line_errors(args.traceback):
        from daga_mm.apis import find_images, load
        from daga_mm.apis.images import require_names

        with as_run_error(OSError, ValueError):
            images = find_images(args.images)
            require_names(images)
            model = load(args.config, args.checkpoint, args.device, options=args.cfg_options)
            args.out.mkdir(parents=True, exist_ok=True)
            with TemporaryFile(dir=args.out):  # it can be written to
                pass
        options = dict(batch_size=args.batch_size, tile=args.tile, overlap=args.overlap)
        for result in model.stream(images, **options, progress=True):
            name = Path(result.path).stem
            result.draw(args.out / 'vis' / f'{name}.png', args.score)
            result.save(args.out / 'preds' / name)
            if args.focal_length and model.task == 'depth':
                from daga_mm.depth import write_point_cloud

                (args.out / 'points').mkdir(exist_ok=True)
                depth = result.pred_depth_map.data[0].numpy()
                write_point_cloud(args.out / 'points' / f'{name}.ply', result.image, depth, args.focal_length)
    print(f'{len(images)} pictures in {args.out / "vis"}')


if __name__ == '__main__':
    main()
