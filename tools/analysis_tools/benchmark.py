"""What DAGA costs beside the frozen trunk and full fine-tuning: time, memory, parameters, FLOPs.

    python tools/analysis_tools/benchmark.py --arch dinov3_vits16 --size 224
    python tools/analysis_tools/benchmark.py --arch dinov3_vitb16 --size 1024 --cases frozen daga --json costs.json

Times are medians of interleaved runs, and best read as ratios to the frozen trunk's. Peak memory is the allocator's on
CUDA; on the CPU (Linux) it is what a process of its own per case needs above what it held before the model was built. A
training step is forward, backward and AdamW, its states included. Weights are random: they change neither.
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

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from daga_mm.backbones import DAGAViT

CASES = {
    'frozen': dict(daga_layers=()),
    'daga': {},
    'full': dict(daga_layers=(), frozen=False),
}


def build(case: str, args: argparse.Namespace) -> DAGAViT:
    """The case's model, with random weights and DAGA modules that are no longer the identity."""
    torch.manual_seed(0)
    settings: dict[str, Any] = dict(arch=args.arch, guidance=args.guidance_cfg, with_cp=args.with_cp) | CASES[case]
    if case == 'daga':
        settings['daga_layers'] = args.layers
    model = DAGAViT(**settings)
    for name, parameter in model.adapters.named_parameters():
        if '.up.' in name:
            torch.nn.init.normal_(parameter, std=0.01)
    return model.to(args.device)


def forward(model: DAGAViT, images: Tensor, args: argparse.Namespace) -> Tensor:
    with torch.autocast(args.device.partition(':')[0], torch.bfloat16, enabled=args.dtype == 'bf16'):
        return sum(output.float().square().mean() for output in model(images))


def stepper(model: DAGAViT, images: Tensor, args: argparse.Namespace) -> tuple[Callable, Callable | None]:
    """Two functions: an inference, and a training step where there is something to train."""

    def infer() -> None:
        with torch.no_grad():
            forward(model.eval(), images, args)

    trained = [p for p in model.parameters() if p.requires_grad]
    if not trained:
        return infer, None
    optimiser = torch.optim.AdamW(trained, lr=1e-6)

    def step() -> None:
        forward(model.train(), images, args).backward()
        optimiser.step()
        optimiser.zero_grad()

    return infer, step


def seconds(function: Callable, device: str) -> float:
    if device != 'cpu':
        torch.cuda.synchronize()
    start = time.perf_counter()
    function()
    if device != 'cpu':
        torch.cuda.synchronize()
    return time.perf_counter() - start


def peak_mb(case: str, kind: str, args: argparse.Namespace) -> float:
    """Peak memory of two inferences or two training steps, MiB; on the CPU in this very process, from now on."""
    if args.device != 'cpu':
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
    else:
        Path('/proc/self/clear_refs').write_text('5')  # Linux: the high-water mark starts anew
        before = resident_peak()
    model = build(case, args)
    images = torch.randn(args.batch, 3, args.size, args.size, device=args.device)
    function = stepper(model, images, args)[0 if kind == 'forward' else 1]
    for _ in range(2):
        function()
    after = torch.cuda.max_memory_allocated() if args.device != 'cpu' else resident_peak()
    return (after - before) / 2**20


def resident_peak() -> int:
    """The process's high-water mark of resident memory, bytes."""
    (line,) = (line for line in Path('/proc/self/status').read_text().splitlines() if line.startswith('VmHWM'))
    return 1024 * int(line.split()[1])


def peak_in_a_process_of_its_own(case: str, kind: str, argv: list[str]) -> float:
    command = [sys.executable, '-W', 'ignore', __file__, *argv, '--measure-peak', case, kind]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        raise SystemExit(f'{case}, {kind}: {result.stderr.strip().splitlines()[-1]}')
    return float(result.stdout.strip().splitlines()[-1])


def measure(args: argparse.Namespace, argv: list[str]) -> list[dict[str, Any]]:
    rows, runs = [], []
    images = torch.randn(args.batch, 3, args.size, args.size, device=args.device)
    for case in args.cases:
        model = build(case, args)
        infer, step = stepper(model, images, args)
        with FlopCounterMode(display=False) as counter:
            infer()
        trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
        rows.append(
            dict(
                case=case,
                guidance=args.guidance if case == 'daga' else None,
                layers=list(model.daga_layers),
                arch=args.arch,
                size=args.size,
                batch=args.batch,
                with_cp=args.with_cp,
                trained_params=trained,
                added_params=sum(p.numel() for p in model.adapters.parameters()),
                total_params=sum(p.numel() for p in model.parameters()),
                forward_gflops=counter.get_total_flops() / 1e9 / args.batch,
            )
        )
        runs.append({'forward': infer, 'step': step})
    times: list[dict[str, list[float]]] = [{'forward': [], 'step': []} for _ in rows]
    for repeat in range(args.repeats + 1):
        for case_times, functions in zip(times, runs, strict=True):
            for kind, function in functions.items():
                if function is not None:
                    spent = seconds(function, args.device)
                    if repeat:  # the first is a warm-up
                        case_times[kind].append(spent)
        print(f'\rround {repeat} of {args.repeats}', end='', file=sys.stderr, flush=True)
    print(file=sys.stderr)
    del runs, model, images
    for row, case_times in zip(rows, times, strict=True):
        for kind, spent in case_times.items():
            row[f'{kind}_s'] = statistics.median(spent) if spent else None
            found = spent and (
                peak_in_a_process_of_its_own(row['case'], kind, argv)
                if args.device == 'cpu'
                else peak_mb(row['case'], kind, args)
            )
            row[f'{kind}_peak_mb'] = found or None
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    base = rows[0]['forward_s']
    lines = [
        '| case | trained | forward, ms | ratio | step, ms | ratio | forward, MiB | step, MiB | GFLOPs |',
        '| --- | --- | --- | --- | --- | --- | --- | --- | --- |',
    ]
    for row in rows:
        name = row['case'] + (
            f' ({row["guidance"]}, layers {" ".join(map(str, row["layers"]))})' if row['layers'] else ''
        )
        cells = [name, f'{row["trained_params"]:,}', f'{1e3 * row["forward_s"]:.0f}', f'{row["forward_s"] / base:.2f}']
        step = row['step_s']
        cells += [f'{1e3 * step:.0f}', f'{step / base:.2f}'] if step else ['–', '–']
        cells += [f'{row[f"{kind}_peak_mb"]:.0f}' if row[f'{kind}_peak_mb'] else '–' for kind in ('forward', 'step')]
        lines.append('| ' + ' | '.join([*cells, f'{row["forward_gflops"]:.1f}']) + ' |')
    return '\n'.join([*lines, f'Ratios are to the forward of {rows[0]["case"]}.'])


def parse_args(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--arch', default='dinov3_vits16')
    parser.add_argument('--size', type=int, default=224, help='pixels along one side (default: 224)')
    parser.add_argument('--batch', type=int, default=1)
    parser.add_argument('--cases', nargs='+', choices=CASES, default=list(CASES))
    parser.add_argument('--layers', type=int, nargs='+', default=(1, 2, -2, -1), metavar='BLOCK')
    parser.add_argument('--guidance', choices=['frozen', 'inline'], default='frozen')
    parser.add_argument('--scale', type=float, default=1.0, help='of the guidance stream (default: 1.0)')
    parser.add_argument('--with-cp', action='store_true', help='recompute activations in the backward pass')
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--dtype', choices=['fp32', 'bf16'], default='fp32')
    parser.add_argument('--repeats', type=int, default=5)
    parser.add_argument('--json', type=Path, metavar='FILE', help='write the rows here')
    parser.add_argument('--measure-peak', nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    frozen = args.guidance == 'frozen'
    args.guidance_cfg = dict(source='frozen', scale=args.scale) if frozen else dict(source='inline')
    return args


def main() -> None:
    argv = sys.argv[1:]
    args = parse_args(argv)
    if args.device != 'cpu':
        torch.cuda.set_device(torch.device(args.device).index or 0)  # whose clock and memory are read
    if args.measure_peak:
        print(peak_mb(*args.measure_peak, args))
        return
    rows = measure(args, argv)
    print(table(rows))
    if args.json:
        part = args.json.with_name(args.json.name + '.part')
        part.write_text(json.dumps(rows, indent=1) + '\n')
        part.replace(args.json)


if __name__ == '__main__':
    main()
