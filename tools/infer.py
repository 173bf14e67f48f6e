"""Draw what a trained model sees: boxes and masks, colour maps, depth, the name of the class.

    python tools/infer.py IMAGE_OR_FOLDER CONFIG CHECKPOINT --out DIR

Pictures go to DIR/vis, under the names of the images. A checkpoint without the trunk finds it where it
was in training, or in the folder DINOV3_CHECKPOINTS.
Detections come as JSON too, in DIR/preds, and segmentation as label maps, in DIR/pred. Depth comes as 16-bit PNG, in
DIR/depth: millimetres, or steps of 1/256 m where the model reaches beyond 65 m; and with --focal-length as coloured
point clouds in DIR/points. --tile predicts images that are too large for the model, or for the memory, in parts.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any

from daga_mm.cli.errors import one_line_errors
from daga_mm.cli.parser import add_config, add_device, folder, fraction, make_parser, positive
from daga_mm.errors import RunError, as_run_error

if TYPE_CHECKING:  # functions import what takes its time, torch above all: help and argument errors come before
    from mmengine.config import Config

    from daga_mm.apis.tiling import Predict


def predictions(inferencer: Any, batch_size: int) -> 'Predict':
    """Images, or their files -> the data samples of an inferencer, one after the other."""

    def predict(images: Sequence[Any]) -> Iterator[Any]:
        for batch in inferencer.preprocess(images, batch_size):
            yield from inferencer.forward(batch if isinstance(batch, dict) else batch[1])  # mmdet's has the images too

    return predict


def detect(config: 'Config', args: argparse.Namespace) -> Any:
    """mmdet's inferencer: boxes, masks and labels above a score; predictions as JSON in DIR/preds."""
    from mmdet.apis import DetInferencer

    from daga_mm.engine import require_fit, warn_of_normalization

    inferencer = DetInferencer(config, args.checkpoint, args.device)
    require_fit(inferencer.model, args.checkpoint)
    warn_of_normalization(inferencer.model)
    if not args.tile:
        return lambda images: inferencer(
            images, out_dir=str(args.out), pred_score_thr=args.score, no_save_pred=False, batch_size=args.batch_size
        )

    import mmcv
    from mmdet.visualization import get_palette
    from rich.progress import track

    from daga_mm.apis import as_dict, detect_in_tiles, draw_instances
    from daga_mm.engine import AtomicBackend

    classes = inferencer.model.dataset_meta['classes']
    palette = get_palette(inferencer.model.dataset_meta.get('palette', 'random'), len(classes))
    predict = predictions(inferencer, args.batch_size)

    def draw(images: list[str]) -> None:
        (args.out / 'preds').mkdir(exist_ok=True)
        for path in track(images, 'Inference'):
            image = mmcv.imread(path)
            found = detect_in_tiles(predict, image, args.tile, args.overlap)
            AtomicBackend().put_text(json.dumps(as_dict(found)), args.out / 'preds' / f'{Path(path).stem}.json')
            picture = draw_instances(image[..., ::-1], found[found.scores >= args.score], classes, palette)
            mmcv.imwrite(picture[..., ::-1], str(args.out / 'vis' / Path(path).name))

    return draw


def segment(config: 'Config', args: argparse.Namespace) -> Any:
    """mmseg's inferencer: a colour map over the image; label maps, one number per pixel, in DIR/pred."""
    import mmcv
    import numpy as np
    from mmseg.apis import MMSegInferencer
    from rich.progress import track

    from daga_mm.apis import draw_segmentation, segment_in_tiles
    from daga_mm.engine import require_fit, warn_of_normalization

    inferencer = MMSegInferencer(config, args.checkpoint, device=args.device)
    require_fit(inferencer.model, args.checkpoint)
    warn_of_normalization(inferencer.model)

    inferencer.visualizer.set_dataset_meta(**inferencer.model.dataset_meta)
    meta = inferencer.visualizer.dataset_meta
    threshold = getattr(inferencer.model.decode_head, 'threshold', None)
    predict = predictions(inferencer, args.batch_size)

    def label_maps(images: list[str]) -> Iterator[np.ndarray]:
        if args.tile:
            for path in images:
                yield segment_in_tiles(predict, mmcv.imread(path), args.tile, args.overlap, threshold)
        else:
            for sample in predict(images):
                yield sample.pred_sem_seg.data[0].cpu().numpy().astype(np.uint16)

    def draw(images: list[str]) -> None:
        (args.out / 'pred').mkdir(exist_ok=True)
        for path, labels in zip(track(images, 'Inference'), label_maps(images), strict=True):
            picture = draw_segmentation(mmcv.imread(path)[..., ::-1], labels, meta['classes'], meta['palette'])
            mmcv.imwrite(picture[..., ::-1], str(args.out / 'vis' / Path(path).name))
            labels = labels.astype(np.uint8 if labels.max() < 256 else np.uint16)
            mmcv.imwrite(labels, str(args.out / 'pred' / f'{Path(path).stem}.png'))

    return draw


def estimate_depth(config: 'Config', args: argparse.Namespace) -> Any:
    """mmseg's inference; the image beside its depth in colours, with a bar in metres."""
    import mmcv
    from mmseg.apis import inference_model, init_model
    from rich.progress import track

    from daga_mm.depth import draw_depth, write_depth_png, write_point_cloud
    from daga_mm.engine import require_fit, warn_of_normalization

    pipeline = config.test_dataloader.dataset.pipeline
    config.test_pipeline = [step for step in pipeline if 'Annotation' not in step['type']]  # which mmseg reads
    model = init_model(config, args.checkpoint, device=args.device)
    require_fit(model, args.checkpoint)
    warn_of_normalization(model)
    scale = 1000 if model.decode_head.to_depth.max_depth <= 65 else 256  # steps per metre: NYU's and KITTI's

    def draw(images: list[str]) -> None:
        for name in ('vis', 'depth', *(['points'] if args.focal_length else [])):
            (args.out / name).mkdir(parents=True, exist_ok=True)
        for path in track(images, 'Inference'):
            image = mmcv.imread(path)
            depth = inference_model(model, image).pred_depth_map.data[0].cpu().numpy()
            image = image[..., ::-1]  # from BGR, which mmseg reads
            name = f'{Path(path).stem}.png'
            mmcv.imwrite(draw_depth(image, depth)[..., ::-1], str(args.out / 'vis' / name))
            write_depth_png(args.out / 'depth' / name, depth, scale)
            if args.focal_length:
                write_point_cloud((args.out / 'points' / name).with_suffix('.ply'), image, depth, args.focal_length)

    return draw


def classify(config: 'Config', args: argparse.Namespace) -> Any:
    """mmpretrain's inferencer: the class and its score on the image; all of them in DIR/predictions.json."""
    from mmpretrain import ImageClassificationInferencer

    from daga_mm.engine import AtomicBackend, require_fit, warn_of_normalization

    inferencer = ImageClassificationInferencer(config, args.checkpoint, args.device)
    require_fit(inferencer.model, args.checkpoint)
    warn_of_normalization(inferencer.model)
    (args.out / 'vis').mkdir(parents=True, exist_ok=True)

    def draw(images: list[str]) -> None:
        names = [Path(Path(image).stem).with_suffix('') for image in images]  # as mmpretrain makes them
        twice = sorted({str(name) for name in names if names.count(name) > 1})
        if twice:
            raise RunError(f'pictures of several images would be one: those of {", ".join(twice[:5])}. Rename them')
        found = inferencer(images, batch_size=args.batch_size, show_dir=str(args.out / 'vis'))
        predictions = {
            name: {key: one[key] for key in ('pred_label', 'pred_score', 'pred_class') if key in one}
            for name, one in zip(images, found, strict=True)
        }
        AtomicBackend().put_text(json.dumps(predictions, indent=1) + '\n', args.out / 'predictions.json')

    return draw


INFERENCERS = {'mmdet': detect, 'mmseg': segment, 'depth': estimate_depth, 'mmpretrain': classify}


def find_images(path: Path) -> list[str]:
    """The image itself, or all images of a folder by name.

    Raises:
        FileNotFoundError: There is none.
        ValueError: It is no image; two differ in their suffix only.
    """
    from daga_mm.engine import IMAGES

    if path.is_file() and path.suffix.lower() not in IMAGES:
        raise ValueError(f'{path} is no image of a kind that is read: {", ".join(IMAGES)}')
    found = [path] if path.is_file() else sorted(p for p in path.glob('*') if p.suffix.lower() in IMAGES)
    if not found:
        raise FileNotFoundError(f'no image at {path}; folders are searched for {", ".join(IMAGES)}')
    names = [p.stem for p in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f'{path} has several images of one name, whose pictures would be one: {", ".join(twice[:5])}')
    return [str(p) for p in found]


def parse_args() -> argparse.Namespace:
    parser = make_parser(__doc__)
    parser.add_argument('images', type=Path, metavar='IMAGE_OR_FOLDER')
    add_config(parser)
    parser.add_argument('checkpoint', help='checkpoint file, with the trunk in it or without')
    parser.add_argument('--out', type=folder, required=True, metavar='DIR', help='where pictures and predictions go')
    parser.add_argument('--score', type=fraction, default=0.3, help='detection: the least score to draw (default: 0.3)')
    parser.add_argument(
        '--focal-length', type=float, metavar='PIXELS', help="depth: write point clouds; 518.86 for NYU's images"
    )
    parser.add_argument(
        '--batch-size', type=positive, default=1, help='images, or tiles, at once (not for depth; default: 1)'
    )
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
    if args.tile:
        args.overlap = args.tile // 4 if args.overlap is None else args.overlap
        if not 0 <= args.overlap < args.tile:
            parser.error(f'--overlap is {args.overlap}, expected 0 to {args.tile - 1}, less than --tile')
    return args


def prepare(args: argparse.Namespace) -> tuple[list[str], 'Config', str]:
    """The images, the config and the kind of inferencer that the arguments ask for.

    Raises:
        OSError: A file is missing, or nothing can be written to the folder.
        ValueError: An argument does not fit.
    """
    from daga_mm.cli.config import load_config, require_checkpoint

    images = find_images(args.images)
    config = load_config(args.config, args.cfg_options)
    require_checkpoint(args.checkpoint)
    scope = 'depth' if config.model.type.endswith('DepthEstimator') else config.get('default_scope')
    if scope not in INFERENCERS:
        raise ValueError(f'{args.config} is of {scope}; pictures are drawn for {", ".join(INFERENCERS)}')
    if scope == 'mmpretrain' and not config.model.get('head'):
        raise ValueError(f'{args.config} has no head that names classes: it is for tools/test.py')
    if args.tile and scope not in ('mmdet', 'mmseg'):
        raise ValueError(f'--tile is for detection and segmentation, and {args.config} is of {scope}')
    args.out.mkdir(parents=True, exist_ok=True)
    with TemporaryFile(dir=args.out):  # it can be written to
        pass
    return images, config, scope


def main() -> None:
    args = parse_args()
    with one_line_errors(args.traceback):
        with as_run_error(OSError, ValueError):
            images, config, scope = prepare(args)
        from daga_mm.cli.config import variable_environment
        from daga_mm.cli.runs import chosen_device
        from daga_mm.engine import image_fault

        with as_run_error(ValueError):
            args.device = chosen_device(args.device)
        with variable_environment(args.cfg_options):  # where a checkpoint without the trunk looks for it
            draw = INFERENCERS[scope](config, args)
        try:
            draw(images)
        except Exception as error:
            faults = [fault for image in images if (fault := image_fault(image))]
            if not faults:
                raise
            raise RunError('\n'.join(faults)) from error
    print(f'{len(images)} pictures in {args.out / "vis"}')


if __name__ == '__main__':
    main()
