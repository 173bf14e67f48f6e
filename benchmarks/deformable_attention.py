"""Multi-level deformable attention without mmcv's extension: mmcv's own PyTorch path against daga_mm's.

    OMP_NUM_THREADS=1 python benchmarks/deformable_attention.py --size 800 1333 --repeats 5
    OMP_NUM_THREADS=1 python benchmarks/deformable_attention.py --size 512 512 --part attention

A step is forward and backward of the encoder of Deformable DETR and DINO-DETR: six layers of 256 channels, 8 heads, 4
points on each of four levels (strides 8 to 64), with feed-forward networks of 2048 channels; or of its six attention
modules alone. The two paths take turns, round after round, and the ratio is the median over the rounds, of process time
on the CPU and of wall time on a GPU. Peak memory is that of a step, in a process of its own on the CPU. The largest
differences of outputs and of the queries' gradients, relative to the largest value, come with the times.
"""

import argparse
import json
import statistics
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path

import torch
from costs import most_mb, seconds

from daga_mm import compat  # noqa: F401  before mmdet

from mmcv.ops import multi_scale_deform_attn as mmcvs  # isort: skip
from mmdet.models.layers.transformer import DeformableDetrTransformerEncoder  # isort: skip

PATHS = ('mmcv', 'daga_mm')
OURS = mmcvs.multi_scale_deformable_attn_pytorch
DIMS, STRIDES = 256, (8, 16, 32, 64)


def take(path: str) -> None:
    """Let mmcv's module compute by one of the paths from now on, on a GPU too."""
    function = OURS.__wrapped__ if path == 'mmcv' else OURS
    mmcvs.multi_scale_deformable_attn_pytorch = function
    mmcvs.MultiScaleDeformableAttnFunction.apply = lambda v, shapes, starts, at, by, step: function(v, shapes, at, by)


def stepper(args: argparse.Namespace) -> Callable[[str], tuple[torch.Tensor, torch.Tensor]]:
    """A function that makes a step by a path; returns the output and the gradient of the queries."""
    torch.manual_seed(0)
    attention = dict(embed_dims=DIMS, num_levels=len(STRIDES), dropout=0.0)
    layer = dict(self_attn_cfg=attention, ffn_cfg=dict(embed_dims=DIMS, feedforward_channels=2048, ffn_drop=0.0))
    encoder = DeformableDetrTransformerEncoder(num_layers=6, layer_cfg=layer).to(args.device)
    for one in encoder.layers:  # they begin on pixels, where the gradient of a bilinear mean has a kink
        torch.nn.init.normal_(one.self_attn.sampling_offsets.bias, std=2.0)
    shapes = torch.tensor([[-(-side // stride) for side in args.size] for stride in STRIDES], device=args.device)
    ratios = torch.ones(args.batch, len(STRIDES), 2, device=args.device)
    points = encoder.get_encoder_reference_points(shapes, ratios, args.device)
    areas = shapes.prod(dim=1)
    places = dict(spatial_shapes=shapes, level_start_index=areas.cumsum(0) - areas)
    queries = torch.randn(args.batch, int(areas.sum()), DIMS, device=args.device, requires_grad=True)
    positions, direction = torch.randn_like(queries), torch.randn_like(queries)

    def step(path: str) -> tuple[torch.Tensor, torch.Tensor]:
        take(path)
        if args.part == 'encoder':
            out = encoder(queries, positions, None, valid_ratios=ratios, **places)
        else:
            out = queries
            for one in encoder.layers:
                out = one.self_attn(out, query_pos=positions, value=out, reference_points=points, **places)
        out.backward(direction)
        gradient, queries.grad = queries.grad, None
        return out.detach(), gradient

    return step


def peak_mb(path: str, args: argparse.Namespace) -> float:
    """Peak memory of a step above what is held before it, MiB."""
    step = stepper(args)
    if args.device == 'cpu':
        Path('/proc/self/clear_refs').write_text('5')  # the mark of the most memory starts anew
    else:
        torch.cuda.reset_peak_memory_stats()
    before = most_mb(args.device)
    step(path)
    return most_mb(args.device) - before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--size', type=int, nargs=2, default=[512, 512], help='height and width of the image')
    parser.add_argument('--part', choices=['encoder', 'attention'], default='encoder')
    parser.add_argument('--batch', type=int, default=1)
    parser.add_argument('--repeats', type=int, default=5, help='rounds after the first (default: 5)')
    parser.add_argument('--device', choices=['cpu', 'cuda'], default='cpu')
    args = parser.parse_args()
    if args.device == 'cpu':  # first, while this process is small
        with get_context('spawn').Pool(1, maxtasksperchild=1) as pool:
            peaks = [pool.apply(peak_mb, (path, args)) for path in PATHS]
    else:
        peaks = [peak_mb(path, args) for path in PATHS]
    step = stepper(args)
    pairs = list(zip(*map(step, PATHS), strict=True))  # the first round warms up
    differences = [float((a - b).abs().max() / a.abs().max()) for a, b in pairs]
    rounds = [[seconds(lambda path=path: step(path), args.device) for path in PATHS] for _ in range(args.repeats)]
    clock = 0 if args.device == 'cuda' else 1
    ratio = statistics.median(ours[clock] / theirs[clock] for theirs, ours in rounds)
    line = dict(part=args.part, size=args.size, batch=args.batch, device=args.device, threads=torch.get_num_threads())
    for number, path in enumerate(PATHS):
        line[f'{path}_s'] = round(statistics.median(one[number][0] for one in rounds), 3)
        line[f'{path}_mb'] = round(peaks[number])
    line |= dict(time_ratio=round(ratio, 3), memory_ratio=round(peaks[1] / peaks[0], 3), torch=torch.__version__)
    print(json.dumps(line | dict(output_difference=differences[0], gradient_difference=differences[1])))


if __name__ == '__main__':
    main()
