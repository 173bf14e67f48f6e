"""What multi-scale deformable attention costs on a CPU without mmcv's extension: grid_sample beside the sum of rows.

    python tools/analysis_tools/deformable_attention.py --size 256 512 --json docs/costs/deformable_attention.json

Of DINO (levels of strides 8, 16, 32, 64) and of Mask2Former's pixel decoder (8, 16, 32), for one image, 256 channels,
8 heads and 4 points: six readings of the levels alone, and the encoder of six layers whole. Both ways run in turn, in
one thread. Seconds are the process's own on the processor, so that other work on the machine hardly counts. Times and
ratios are medians. Peak memory (Linux) is what a process of its own needs above its inputs and weights.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from costs.meter import PeakMemory
from torch import Tensor

from daga_mm import compat  # noqa: F401  before mmcv.ops
from daga_mm.engine import AtomicBackend, one_line_errors, positive

Run = Callable[[], Tensor]

MODELS = {'DINO': ((8, 16, 32, 64), 2048), 'Mask2Former': ((8, 16, 32), 1024)}  # strides, channels between of the FFN
PARTS = ('reading', 'encoder')
KINDS = ('forward', 'step')


def build(model: str, part: str, size: int) -> tuple[Run, list[Tensor]]:
    """Six readings, or an encoder, on random input, and the tensors that get gradients."""
    from mmcv.ops import multi_scale_deform_attn as attention
    from mmdet.models.layers.transformer import DeformableDetrTransformerEncoder

    torch.manual_seed(0)
    strides, feedforward = MODELS[model]
    shapes = torch.tensor([[-(-size // stride)] * 2 for stride in strides])
    levels, pixels = len(shapes), int(shapes.prod(1).sum())
    layer = dict(
        self_attn_cfg=dict(embed_dims=256, num_levels=levels, dropout=0.0, batch_first=True),
        ffn_cfg=dict(embed_dims=256, feedforward_channels=feedforward, ffn_drop=0.0),
    )
    encoder = DeformableDetrTransformerEncoder(num_layers=6, layer_cfg=layer)
    ratios = torch.ones(1, levels, 2)
    if part == 'encoder':
        for block in encoder.layers:
            block.self_attn.init_weights()
        query, position = torch.randn(2, 1, pixels, 256).requires_grad_()
        starts = torch.cat([shapes.new_zeros(1), shapes.prod(1).cumsum(0)[:-1]])
        mask = torch.zeros(1, pixels, dtype=torch.bool)
        return lambda: encoder(query, position, mask, shapes, starts, ratios), [query, *encoder.parameters()]
    value = torch.randn(1, pixels, 8, 32, requires_grad=True)
    references = encoder.get_encoder_reference_points(shapes, ratios, 'cpu')[:, :, None, :, None]
    locations = (references + 2 * torch.randn(1, pixels, 8, levels, 4, 2) / shapes.flip(1)[:, None]).requires_grad_()
    weights = torch.rand(1, pixels, 8, levels, 4, requires_grad=True)

    def read() -> Tensor:
        arguments = (shapes, locations, weights)
        return sum(attention.multi_scale_deformable_attn_pytorch(value, *arguments) for _ in range(6))

    return read, [value, locations, weights]


def way(run: Run, tensors: list[Tensor], kind: str, ours: bool) -> Callable[[], None]:
    """A forward pass, or one with its backward pass, as mmcv computes it or as we do."""
    from mmcv.ops import multi_scale_deform_attn as attention

    name = 'multi_scale_deformable_attn_pytorch'
    function = getattr(attention, name)
    if not ours:
        function = function.__wrapped__

    def go() -> None:
        with mock.patch.object(attention, name, function), torch.set_grad_enabled(kind == 'step'):
            output = run()
            if kind == 'step':
                torch.autograd.grad(output.square().mean(), tensors)

    return go


def seconds(function: Callable[[], None]) -> float:
    """How long the processor works on it."""
    start = time.process_time()
    function()
    return time.process_time() - start


def peak_mb(model: str, part: str, size: int, kind: str, ours: bool) -> float:
    """Peak memory, MiB; of this process, from now on."""
    go = way(*build(model, part, size), kind, ours)
    meter = PeakMemory('cpu')
    go()
    go()
    return meter.mb()


def peak_in_a_process_of_its_own(*case: Any) -> float:
    """`peak_mb`."""
    command = [sys.executable, '-W', 'ignore', __file__, '--measure-peak', json.dumps(case)]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        raise RuntimeError(f'{case}: {result.stderr.strip().splitlines()[-1]}')
    return float(result.stdout.strip().splitlines()[-1])


def measure(model: str, part: str, size: int, kind: str, repeats: int) -> dict[str, Any]:
    """A row."""
    run, tensors = build(model, part, size)
    ways = [way(run, tensors, kind, ours) for ours in (False, True)]
    times = [[seconds(go) for go in ways] for _ in range(repeats + 1)][1:]  # the first is a warm-up
    peaks = [peak_in_a_process_of_its_own(model, part, size, kind, ours) for ours in (False, True)]
    return dict(
        model=model,
        part=part,
        size=size,
        kind=kind,
        grid_sample_s=statistics.median(theirs for theirs, _ in times),
        rows_s=statistics.median(ours for _, ours in times),
        ratio=statistics.median(ours / theirs for theirs, ours in times),
        grid_sample_mb=peaks[0],
        rows_mb=peaks[1],
        torch=torch.__version__,
    )


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as Markdown."""
    lines = ['| | ms, `grid_sample` | ms, rows | ratio | MiB, `grid_sample` | MiB, rows |', f'|{" --- |" * 6}']
    for row in rows:
        title = f'{row["model"]}, {row["part"]}, {row["size"]}², {row["kind"]}'
        times = f'{1e3 * row["grid_sample_s"]:,.0f} | {1e3 * row["rows_s"]:,.0f} | {row["ratio"]:.2f}'
        lines.append(f'| {title} | {times} | {row["grid_sample_mb"]:,.0f} | {row["rows_mb"]:,.0f} |')
    return '\n'.join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--size', type=positive, nargs='+', default=[256], help='pixels along one side (default: 256)')
    parser.add_argument('--models', nargs='+', choices=MODELS, default=list(MODELS), help='(default: both)')
    parser.add_argument('--repeats', type=positive, default=5, help='rounds after the first (default: 5)')
    parser.add_argument('--json', type=Path, metavar='FILE', help='write the rows here')
    parser.add_argument('--measure-peak', type=json.loads, help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.measure_peak:
        print(peak_mb(*args.measure_peak))
        return
    cases = [(model, part, size) for model in args.models for part in PARTS for size in args.size]
    with one_line_errors(RuntimeError):
        rows = [measure(*case, kind, args.repeats) for case in cases for kind in KINDS]
    if args.json:
        AtomicBackend().put_text(json.dumps(rows, indent=1) + '\n', args.json)
    print(table(rows))


if __name__ == '__main__':
    main()
