"""Draw what a trained model sees: boxes and masks for detection, colour maps for segmentation.

    python tools/infer.py IMAGE_OR_FOLDER CONFIG CHECKPOINT --out DIR

Pictures go to DIR/vis, under the names of the images. The checkpoint must hold the trunk, as those of a run do.
"""

import argparse
from pathlib import Path
from typing import Any

from mmengine.config import Config, DictAction

from daga_mm.engine import load_config

IMAGES = ('.bmp', '.jpeg', '.jpg', '.png', '.tif', '.tiff', '.webp')


def detect(config: Config, args: argparse.Namespace) -> Any:
    """mmdet's inferencer: boxes, masks and labels above a score; predictions as JSON in DIR/preds."""
    from mmdet.apis import DetInferencer

    inferencer = DetInferencer(config, args.checkpoint, args.device)
    return lambda images: inferencer(
        images, out_dir=str(args.out), pred_score_thr=args.score, no_save_pred=False, batch_size=args.batch_size
    )


def segment(config: Config, args: argparse.Namespace) -> Any:
    """mmseg's inferencer: a colour map over the image; label maps in DIR/pred."""
    from mmseg.apis import MMSegInferencer

    inferencer = MMSegInferencer(config, args.checkpoint, device=args.device)
    return lambda images: inferencer(images, out_dir=str(args.out), batch_size=args.batch_size)


INFERENCERS = {'mmdet': detect, 'mmseg': segment}


def find_images(path: Path) -> list[str]:
    """The image itself, or all images of a folder by name.

    Raises:
        FileNotFoundError: There is none.
    """
    found = [path] if path.is_file() else sorted(p for p in path.glob('*') if p.suffix.lower() in IMAGES)
    if not found:
        raise FileNotFoundError(f'no image at {path}; folders are searched for {", ".join(IMAGES)}')
    return [str(p) for p in found]


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('images', type=Path, metavar='IMAGE_OR_FOLDER')
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file, with the trunk in it')
    parser.add_argument('--out', type=Path, required=True, metavar='DIR', help='where pictures and predictions go')
    parser.add_argument('--score', type=float, default=0.3, help='draw objects from this score on (default: 0.3)')
    parser.add_argument('--batch-size', type=int, default=1)
    parser.add_argument('--device', help='cpu, cuda:0 … (default: a GPU if there is one)')
    parser.add_argument(
        '--cfg-options', nargs='+', action=DictAction, metavar='NAME=VALUE', help='change settings of the config'
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    try:
        images = find_images(args.images)
        config = load_config(args.config, args.cfg_options)
        if not Path(args.checkpoint).is_file():
            raise FileNotFoundError(f'no checkpoint {args.checkpoint}')
    except FileNotFoundError as error:
        raise SystemExit(str(error)) from None
    scope = config.get('default_scope')
    if scope not in INFERENCERS:
        raise SystemExit(f'{args.config} is of {scope}; pictures are drawn for {", ".join(INFERENCERS)}')
    INFERENCERS[scope](config, args)(images)
    print(f'{len(images)} pictures in {args.out / "vis"}')


if __name__ == '__main__':
    main()
