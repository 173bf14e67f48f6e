"""Draw where the class token looks and what DAGA changes, for any number of images.

    python tools/analysis_tools/attention.py CONFIG CHECKPOINT IMAGE_OR_FOLDER... --out DIR

For each image NAME: NAME_attention.png, the class token's attention in the frozen trunk and with DAGA, their
difference and an overlay; NAME_features.png, the patch tokens as colours; with --blocks NAME_blocks.png, every block;
with --heads BLOCK NAME_heads.png, every head of it. For all together: gates.png, gates and mixing weights.

An image that cannot be read is named at the end, with an exit status of 1; the others are drawn, gates.png of them.

CHECKPOINT is one of a run, or `none` for the trunk that the config names, with DAGA as it starts: the identity.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daga_mm.cli.errors import one_line_errors
from daga_mm.cli.parser import add_config, add_device, folder, make_parser
from daga_mm.errors import RunError, as_run_error

if TYPE_CHECKING:  # functions import what takes its time, torch above all: help and argument errors come before
    import numpy as np
    from mmengine.config import Config
    from torch import Tensor

    from daga_mm.backbones import DAGAViT


def load_backbone(config: 'Config', checkpoint: str, device: str) -> 'DAGAViT':
    """The config's backbone with the weights of a checkpoint, or those that the config names if it is 'none'.

    Raises:
        RunError: The config's backbone is no DAGAViT, or the checkpoint is not of this config.
    """
    from mmengine.registry import MODELS, init_default_scope

    from daga_mm.backbones import DAGAViT
    from daga_mm.backbones.checkpoints import read_weights

    init_default_scope(config.get('default_scope') or 'mmengine')
    backbone = MODELS.build(config.model.backbone)
    if not isinstance(backbone, DAGAViT):
        raise RunError(f'the backbone of this config is a {type(backbone).__name__}, not a daga_mm.DAGAViT')
    if checkpoint == 'none':
        backbone.init_weights()
    else:
        state = read_weights(checkpoint)
        own = {key.partition('backbone.')[2]: value for key, value in state.items() if 'backbone.' in key}
        if not own:
            raise RunError(
                f'{checkpoint} is no checkpoint of a run: the weights of a trunk alone go by '
                f'--cfg-options model.backbone.init_cfg.checkpoint={checkpoint}, with none as the checkpoint'
            )
        try:
            backbone.load_state_dict(own)
        except RuntimeError as error:  # of torch: keys and shapes, a line each
            raise RunError(f'{checkpoint} is not of this config: {error}') from error
    return backbone.to(device).eval()


def read_image(path: str, size: int | None) -> 'np.ndarray':
    """An image (H, W, 3), uint8, RGB, its long side as ``size`` says.

    Raises:
        ValueError: It cannot be read.
    """
    import cv2

    from daga_mm.datasets import image_fault

    image = cv2.imread(path, cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError(image_fault(path) or f'{path} cannot be read as an image')
    longest = max(image.shape[:2])
    factor = (size or min(longest, 1024)) / longest
    if factor != 1:
        kind = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
        wanted = [max(1, round(side * factor)) for side in image.shape[1::-1]]
        image = cv2.resize(image, wanted, interpolation=kind)
    return image[..., ::-1]


def normalise(image: 'np.ndarray', config: 'Config') -> 'Tensor':
    """An image as the config's preprocessor gives it to the backbone: (1, 3, H, W)."""
    import numpy as np
    import torch

    settings: dict[str, Any] = config.model.get('data_preprocessor') or config.get('data_preprocessor') or {}
    pixels = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None].float()
    if not (settings.get('bgr_to_rgb') or settings.get('to_rgb')):
        pixels = pixels.flip(1)  # a model of blue, green, red
    mean = torch.tensor(settings.get('mean', [0.0] * 3)).view(1, 3, 1, 1)
    std = torch.tensor(settings.get('std', [1.0] * 3)).view(1, 3, 1, 1)
    return (pixels - mean) / std


def pictures(
    image: 'np.ndarray', streams: Any, args: argparse.Namespace, patch: int
) -> Iterator[tuple[str, 'np.ndarray']]:
    """The pictures of an image, by the ends of their names."""
    from daga_mm.visualization import draw_attention, draw_blocks, draw_features, draw_heads

    yield 'attention', draw_attention(image, streams, 0, args.block, patch)
    yield 'features', draw_features(image, streams, 0, patch)
    if args.blocks:
        yield 'blocks', draw_blocks(image, streams, 0, patch)
    if args.heads is not None:
        yield 'heads', draw_heads(image, streams, 0, args.heads, patch)


def parse_args() -> argparse.Namespace:
    parser = make_parser(__doc__)
    add_config(parser)
    parser.add_argument('checkpoint', help='checkpoint file, or none')
    parser.add_argument('images', type=Path, nargs='+', metavar='IMAGE_OR_FOLDER')
    parser.add_argument('--out', type=folder, required=True, metavar='DIR', help='where the pictures go')
    parser.add_argument(
        '--block', type=int, help='whose attention is drawn, from 0; negative ones count from the end (default: the '
        "guidance's)",
    )  # fmt: skip
    parser.add_argument('--blocks', action='store_true', help='draw every block too')
    parser.add_argument('--heads', type=int, metavar='BLOCK', help='draw every head of this block too')
    parser.add_argument(
        '--size', type=int, help='pixels of the long side, for instance as in training (default: as it is, 1024 for '
        'what is longer)',
    )  # fmt: skip
    add_device(parser)
    return parser.parse_args()


def block_number(name: str, number: int, backbone: 'DAGAViT') -> int:
    """A block of the backbone that runs, counted from 0.

    Raises:
        ValueError: There is none of this number.
    """
    depth = backbone.out_indices[-1] + 1
    if not -depth <= number < depth:
        raise ValueError(f'{name} {number}: {backbone.arch} runs blocks 0 to {depth - 1}')
    return number % depth


def draw(args: argparse.Namespace) -> list[str]:
    """Draw every image; returns what is wrong with those that cannot be read."""
    import torch
    from rich.progress import track

    from daga_mm.apis.images import as_list, require_names
    from daga_mm.cli.config import load_config, require_checkpoint, variable_environment
    from daga_mm.cli.runs import chosen_device
    from daga_mm.visualization import compare_streams, draw_gates, write_picture

    with as_run_error(OSError, ValueError):
        images = as_list(args.images)
        require_names(images)
        config = load_config(args.config, args.cfg_options)
        if args.checkpoint != 'none':
            require_checkpoint(args.checkpoint)
        device = chosen_device(args.device)
    with variable_environment(args.cfg_options):  # where a checkpoint without the trunk looks for it
        backbone = load_backbone(config, args.checkpoint, device)
    guidance = min(backbone.guidance_layer, backbone.out_indices[-1])
    with as_run_error(ValueError):
        args.block = guidance if args.block is None else block_number('--block', args.block, backbone)
        if args.heads is not None:
            args.heads = block_number('--heads', args.heads, backbone)
    args.out.mkdir(parents=True, exist_ok=True)
    gates: dict[int, list[Tensor]] = {}
    updates: dict[int, list[Tensor]] = {}
    streams = None
    faults = []
    for path in track(images, 'Drawing'):
        name = Path(path).stem
        try:
            image = read_image(path, args.size)
        except ValueError as error:  # the others are worth their time
            faults.append(str(error))
            continue
        streams = compare_streams(backbone, normalise(image, config).to(device))
        for end, picture in pictures(image, streams, args, backbone.patch_size):
            write_picture(args.out / f'{name}_{end}.png', picture)
        for block, gate in streams.gates.items():
            gates.setdefault(block, []).append(gate.mean(dim=1).cpu())  # over patches, where each has its own
            updates.setdefault(block, []).append(streams.updates[block].cpu())
    if gates:
        values, moved = ({b: torch.cat(parts) for b, parts in lists.items()} for lists in (gates, updates))
        write_picture(args.out / 'gates.png', draw_gates(values, streams.mixing, moved))
    print(f'pictures of {len(images) - len(faults)} images in {args.out}')
    return faults


def main() -> None:
    args = parse_args()
    with one_line_errors(args.traceback):
        faults = draw(args)
    if faults:
        raise SystemExit('\n'.join(faults))


if __name__ == '__main__':
    main()
