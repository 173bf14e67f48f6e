"""What DAGA costs beside the frozen trunk and its rivals: time, memory, parameters, FLOPs.

    python tools/analysis_tools/benchmark.py --arch dinov3_vits16 --size 224 512 --json costs.json
    python tools/analysis_tools/benchmark.py --cases frozen daga full --guidance frozen inline --layers 10 11 --with-cp

A row per case; DAGA has one for every --guidance and set of --layers, and with --with-cp a second one. Times are
medians of interleaved runs; ratios are medians too, of what was measured in the same round. A training step is forward,
backward and AdamW. Peak memory is the allocator's on CUDA; on the CPU (Linux) it is what a process of its own per case
needs above what it held before the model was built, the optimiser's states included. Weights and images are random:
they change neither.

cases:
"""

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from costs.cases import CASES, Case, build, describe_guidance, parse_guidance
from costs.meter import PeakMemory, flops, operators, seconds
from torch import Tensor

from daga_mm.backbones import DAGAViT
from daga_mm.cli.errors import one_line_errors
from daga_mm.cli.parser import make_parser
from daga_mm.engine import AtomicBackend

KINDS = ('forward', 'step')
SHARING = ('frozen', 'daga', 'two_pass', 'guidance')  # cases that leave the trunk as it is, so one serves them all
Function = Callable[[], Any]


def functions(case: Case, model: DAGAViT, images: Tensor, args: argparse.Namespace) -> dict[str, Function]:
    """What is measured: an inference, and a training step where there is something to train."""
    if args.compile:
        # All models share one forward, and its compiled versions: beyond the limit the rest would not be compiled.
        torch._dynamo.config.recompile_limit = 100
    run = torch.compile(model) if args.compile else model
    cast = torch.autocast(torch.device(args.device).type, torch.bfloat16, enabled=args.dtype == 'bf16')

    def loss() -> Tensor:
        with cast:
            return sum(output.float().square().mean() for output in run(images))

    def infer() -> None:
        model.eval()
        with torch.no_grad():
            loss()

    def read_guidance() -> None:
        with cast:
            model.guidance_map(images)

    if case.name == 'guidance':
        return {'forward': read_guidance}
    trained = [p for p in model.parameters() if p.requires_grad]
    if not trained:
        return {'forward': infer}
    optimiser = torch.optim.AdamW(trained, lr=1e-6)

    def step() -> None:
        model.train()
        loss().backward()
        optimiser.step()
        optimiser.zero_grad()

    return {'forward': infer, 'step': step}


def peak_mb(case: Case, kind: str, size: int, args: argparse.Namespace) -> float:
    """Peak memory of two inferences or two training steps, MiB; on the CPU in this very process, from now on.

    Of guidance alone, it is what one map needs once the model is there.
    """
    meter = PeakMemory(args.device)
    model = build(case, args.arch, args.layers[0]).to(args.device)
    images = torch.randn(args.batch, 3, size, size, device=args.device)
    function = functions(case, model, images, args)[kind]
    if case.name == 'guidance':
        meter = PeakMemory(args.device)
        function()
        return meter.mb()
    for _ in range(2):
        function()
    return meter.mb()


def peak_in_a_process_of_its_own(index: int, kind: str, size: int, argv: list[str]) -> float:
    """`peak_mb` of a case, by its place among the cases of these arguments."""
    command = [sys.executable, '-W', 'ignore', __file__, *argv, '--measure-peak', str(index), kind, str(size)]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        raise RuntimeError(f'case {index}, {kind}: {result.stderr.strip().splitlines()[-1]}')
    return float(result.stdout.strip().splitlines()[-1])


def cases_of(args: argparse.Namespace) -> list[Case]:
    """The rows of the table."""
    rows: list[Case] = []
    for name in args.cases:
        if name == 'daga':
            recompute = (False, True) if args.with_cp else (False,)
            rows += [Case(name, layers, g, cp) for layers in args.layers for g in args.guidance for cp in recompute]
        elif name == 'two_pass':
            rows += [Case(name, layers, 'frozen') for layers in args.layers]
        elif name == 'guidance':
            rows.append(Case(name, args.layers[0], 'frozen'))
        else:
            rows.append(Case(name))
    return rows


def measure(size: int, args: argparse.Namespace, argv: list[str]) -> list[dict[str, Any]]:
    """The rows for images of one size."""
    rows, runs, trunk = [], [], None
    threads = torch.get_num_threads()
    images = torch.randn(args.batch, 3, size, size, device=args.device)
    cases = cases_of(args)
    for case in cases:
        model = build(case, args.arch, args.layers[0]).to(args.device)
        if case.name in SHARING:
            model.trunk = trunk = trunk or model.trunk
        run = functions(case, model, images, args)
        row = dict(
            case=case.name,
            guidance=describe_guidance(model) if case.guidance else None,
            layers=list(model.daga_layers),
            arch=args.arch,
            size=size,
            batch=args.batch,
            with_cp=case.with_cp,
            device=torch.cuda.get_device_name()
            if args.device != 'cpu'
            else f'cpu, {threads} thread{"s" * (threads > 1)}',
            dtype=args.dtype,
            compile=args.compile,
            torch=torch.__version__,
            trained_params=sum(p.numel() for p in model.parameters() if p.requires_grad),
            total_params=sum(p.numel() for p in model.parameters()),
        )
        rows.append(row)
        runs.append(run)
        if args.compile:  # what is compiled can't be counted
            continue
        for kind, function in run.items():
            row[f'{kind}_gflops'] = flops(function) / 1e9 / args.batch
    plain = next((row['total_params'] for row in rows if row['case'] in ('frozen', 'full')), None)
    times = run_interleaved(runs, args)
    for row, run in zip(rows, runs, strict=True):
        row['operators_ms'] = {kind: operators(function, args.device) for kind, function in run.items() if args.profile}
    del runs, model, run, images, trunk
    if args.device != 'cpu':
        torch.cuda.empty_cache()
    for index, (case, row) in enumerate(zip(cases, rows, strict=True)):
        row['added_params'] = None if plain is None else row['total_params'] - plain
        for kind in KINDS:
            row[f'{kind}_s'] = statistics.median(times[index][kind]) if kind in times[index] else None
            row[f'{kind}_peak_mb'] = None
            row.setdefault(f'{kind}_gflops', None)
            if kind in times[index] and args.memory in (kind, 'both'):
                row[f'{kind}_peak_mb'] = (
                    peak_in_a_process_of_its_own(index, kind, size, argv)
                    if args.device == 'cpu'
                    else peak_mb(case, kind, size, args)
                )
    add_ratios(rows, times)
    return rows


def run_interleaved(runs: list[dict[str, Function]], args: argparse.Namespace) -> list[dict[str, list[float]]]:
    """Seconds of every function, one after the other, round after round: what disturbs a round disturbs all."""
    times: list[dict[str, list[float]]] = [{kind: [] for kind in run} for run in runs]
    for repeat in range(args.repeats + 1):
        for spent, run in zip(times, runs, strict=True):
            for kind, function in run.items():
                taken = seconds(function, args.device)
                if repeat:  # the first is a warm-up
                    spent[kind].append(taken)
        print(f'\rround {repeat} of {args.repeats}', end='', file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return times


def add_ratios(rows: list[dict[str, Any]], times: list[dict[str, list[float]]]) -> None:
    """Medians of the rounds' ratios: forward to the frozen forward, step to the frozen forward and to full."""
    for name, kind, base, base_kind in (
        ('forward_to_frozen', 'forward', 'frozen', 'forward'),
        ('step_to_frozen_forward', 'step', 'frozen', 'forward'),
        ('step_to_full', 'step', 'full', 'step'),
    ):
        bases = [spent[base_kind] for row, spent in zip(rows, times, strict=True) if row['case'] == base]
        for row, spent in zip(rows, times, strict=True):
            known = bases and kind in spent
            row[name] = statistics.median(a / b for a, b in zip(spent[kind], bases[0], strict=True)) if known else None
    full = next((row['step_peak_mb'] for row in rows if row['case'] == 'full'), None)
    for row in rows:
        peak = row['step_peak_mb']
        row['step_peak_to_full'] = peak / full if peak and full else None


def describe(row: dict[str, Any]) -> str:
    """The case of a row."""
    return str(Case(row['case'], tuple(row['layers']), row['guidance'] or '', row['with_cp']))


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as Markdown."""
    columns: dict[str, tuple[str, Callable[[Any], str]]] = {
        'trained': ('trained_params', '{:,}'.format),
        'forward, ms': ('forward_s', lambda s: f'{1e3 * s:,.0f}'),
        '/ frozen': ('forward_to_frozen', '{:.2f}'.format),
        'step, ms': ('step_s', lambda s: f'{1e3 * s:,.0f}'),
        '/ frozen forward': ('step_to_frozen_forward', '{:.2f}'.format),
        '/ full step': ('step_to_full', '{:.2f}'.format),
        'forward, MiB': ('forward_peak_mb', '{:,.0f}'.format),
        'step, MiB': ('step_peak_mb', '{:,.0f}'.format),
        '/ full MiB': ('step_peak_to_full', '{:.2f}'.format),
        'forward, GFLOPs': ('forward_gflops', '{:,.1f}'.format),
        'step, GFLOPs': ('step_gflops', '{:,.1f}'.format),
    }
    columns = {name: column for name, column in columns.items() if any(row[column[0]] is not None for row in rows)}
    lines = [f'| {" | ".join(["case", *columns])} |', f'|{" --- |" * (1 + len(columns))}']
    for row in rows:
        cells = [form(row[key]) if row[key] is not None else '–' for key, form in columns.values()]
        lines.append(f'| {" | ".join([describe(row), *cells])} |')
    return '\n'.join(lines)


def profile_table(rows: list[dict[str, Any]], kind: str, count: int = 12) -> str:
    """The operators that take most of the time, as Markdown: milliseconds in each case; '' if no case has this kind."""
    rows = [row for row in rows if kind in row['operators_ms']]
    if not rows:
        return ''
    spent = [row['operators_ms'][kind] for row in rows]
    largest = sorted({name for case in spent for name in case}, key=lambda name: -max(c.get(name, 0) for c in spent))
    lines = [f'| {kind}, ms | {" | ".join(map(describe, rows))} |', f'|{" --- |" * (1 + len(rows))}']
    for name in largest[:count]:
        lines.append(f'| `{name}` | {" | ".join(f"{case.get(name, 0):,.0f}" for case in spent)} |')
    others = [sum(ms for name, ms in case.items() if name not in largest[:count]) for case in spent]
    return '\n'.join([*lines, f'| all others | {" | ".join(f"{ms:,.0f}" for ms in others)} |'])


def parse_args(argv: list[str]) -> argparse.Namespace:
    description = (__doc__ or '') + '\n'.join(f'  {name:12}{what}' for name, what in CASES.items())
    parser = make_parser(description)
    parser.add_argument('--arch', default='dinov3_vits16')
    parser.add_argument('--size', type=int, nargs='+', default=[224], help='pixels along one side (default: 224)')
    parser.add_argument('--batch', type=int, default=1)
    usual = [name for name in CASES if name != 'guidance']
    parser.add_argument('--cases', nargs='+', choices=CASES, default=usual, help='(default: all but guidance)')
    parser.add_argument(
        '--layers',
        type=int,
        nargs='+',
        action='append',
        metavar='BLOCK',
        help='of DAGA; several times for several sets (default: 1 2 -2 -1, and -2 -1); LoRA and bottlenecks get the '
        'size of the first set',
    )
    parser.add_argument(
        '--guidance',
        nargs='+',
        default=['default', 'frozen', 'frozen:scale=0.5', 'inline'],
        help='like default, inline, frozen, frozen:layer=5,scale=0.5 (default: default frozen frozen:scale=0.5 inline)',
    )
    parser.add_argument('--with-cp', action='store_true', help='further rows that recompute activations')
    parser.add_argument('--device', default='cpu')
    parser.add_argument(
        '--dtype',
        type=lambda name: {'float32': 'fp32', 'bfloat16': 'bf16'}.get(name, name),
        choices=['fp32', 'bf16'],
        default='fp32',
        help="bf16: automatic mixed precision; torch's own names will do",
    )
    parser.add_argument('--compile', action='store_true', help='torch.compile the models; FLOPs are not counted then')
    parser.add_argument('--threads', type=int, help='of the CPU (default: what PyTorch takes)')
    parser.add_argument('--repeats', type=int, default=5, help='rounds after the first (default: 5)')
    parser.add_argument('--memory', choices=[*KINDS, 'both', 'none'], default='both', help='of what (default: both)')
    parser.add_argument('--profile', action='store_true', help='the operators that take most of the time, of each case')
    parser.add_argument('--json', type=Path, metavar='FILE', help='write the rows here')
    parser.add_argument('--measure-peak', nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    args.layers = [tuple(layers) for layers in args.layers or [(1, 2, -2, -1), (-2, -1)]]
    with torch.device('meta'):
        named = [describe_guidance(DAGAViT(arch=args.arch, guidance=parse_guidance(text))) for text in args.guidance]
    args.guidance = list(dict.fromkeys(named))  # without what the default says again
    return args


def main() -> None:
    argv = sys.argv[1:]
    with one_line_errors('--traceback' in argv):
        args = parse_args(argv)
        if args.threads:
            torch.set_num_threads(args.threads)
        if args.device != 'cpu':
            torch.cuda.set_device(torch.device(args.device).index or 0)  # whose clock and memory are read
        if args.measure_peak:
            index, kind, size = args.measure_peak
            print(peak_mb(cases_of(args)[int(index)], kind, int(size), args))
            return
        rows: list[dict[str, Any]] = []
        for size in args.size:
            found = measure(size, args, argv)
            first = found[0]
            print(f'\n{args.arch}, {size}×{size}, batch {args.batch}, {args.dtype}, {first["device"]}:\n')
            print(table(found), flush=True)
            for kind in KINDS if args.profile else ():
                print(f'\n{profile_table(found, kind)}', flush=True)
            rows += found
            if args.json:
                AtomicBackend().put_text(json.dumps(rows, indent=1) + '\n', args.json)


if __name__ == '__main__':
    main()
