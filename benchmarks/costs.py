"""What adapters cost beside the frozen trunk: time, memory, trained parameters.

    export OMP_NUM_THREADS=1
    python benchmarks/costs.py --arch dinov3_vits16 --cases frozen daga lora adaptformer mona full --size 224

Cases are the files of benchmarks/methods. A step is forward, backward and AdamW of the backbone and a 1×1 convolution
on its maps. All cases take turns, round after round, and ratios are medians over the rounds, of process time on the
CPU and of wall time on a GPU. Peak memory is what a step takes above what was held before the model was built: in a
process of its own on the CPU, in PyTorch's allocator on a GPU. Weights and images are random.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path

import torch
from mmengine.config import Config
from plan import HERE
from torch import nn

from daga_mm.backbones import DAGAViT

KINDS = ('forward', 'step')


def functions(case: str, args: argparse.Namespace) -> tuple[DAGAViT, dict[str, Callable[[], None]]]:
    """The backbone of a case, and what is measured of it."""
    torch.manual_seed(0)
    model = DAGAViT(args.arch, **Config.fromfile(HERE / f'methods/{case}.py').model.backbone)
    head = nn.Conv2d(len(model.out_indices) * model.embed_dims, 16, 1).to(args.device)
    model.to(args.device)
    images = torch.randn(args.batch, 3, *args.size, device=args.device)
    trained = [p for module in (model, head) for p in module.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=1e-6)
    cast = torch.autocast(args.device, torch.bfloat16, enabled=args.dtype == 'bf16')

    def forward() -> None:
        model.eval()
        with torch.no_grad(), cast:
            model(images)

    def step() -> None:
        model.train()
        with cast:
            loss = head(torch.cat(model(images), dim=1)).float().square().mean()
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()

    return model, dict(forward=forward, step=step)


def seconds(function: Callable[[], None], device: str) -> tuple[float, float]:
    """Wall time and process time."""
    if device == 'cuda':
        torch.cuda.synchronize()
    wall, process = time.perf_counter(), time.process_time()
    function()
    if device == 'cuda':
        torch.cuda.synchronize()
    return time.perf_counter() - wall, time.process_time() - process


def peak_mb(case: str, args: argparse.Namespace) -> float:
    """Peak memory of two training steps above what is held now, MiB."""
    if args.device == 'cpu':
        Path('/proc/self/clear_refs').write_text('5')  # the mark of the most memory starts anew
    else:
        torch.cuda.reset_peak_memory_stats()
    before = most_mb(args.device)
    _, runs = functions(case, args)
    for _ in range(2):
        runs['step']()
    return most_mb(args.device) - before


def most_mb(device: str) -> float:
    """The most memory that was held since the mark was set, MiB."""
    if device == 'cuda':
        return torch.cuda.max_memory_allocated() / 2**20
    line = next(line for line in Path('/proc/self/status').read_text().splitlines() if line.startswith('VmHWM'))
    return int(line.split()[1]) / 1024


def measure(args: argparse.Namespace) -> list[dict]:
    """A line for each case."""
    if args.device == 'cpu':  # first, while this process is small
        with get_context('spawn').Pool(1, maxtasksperchild=1) as pool:
            peaks = [pool.apply(peak_mb, (case, args)) for case in args.cases]
    else:
        peaks = [peak_mb(case, args) for case in args.cases]
    models = {case: functions(case, args) for case in args.cases}
    times = {(case, kind): [] for case in args.cases for kind in KINDS}
    for turn in range(args.repeats + 1):
        for case, kind in times:
            taken = seconds(models[case][1][kind], args.device)
            if turn:  # the first warms up
                times[case, kind].append(taken)
    device = torch.cuda.get_device_name() if args.device == 'cuda' else f'cpu, threads: {torch.get_num_threads()}'
    shared = dict(arch=args.arch, size=args.size, batch=args.batch, dtype=args.dtype, device=device)
    shared['torch'] = torch.__version__
    bases = [name for name in ('frozen', 'full') if name in args.cases]
    lines = []
    for case, peak in zip(args.cases, peaks, strict=True):
        trained = sum(p.numel() for p in models[case][0].parameters() if p.requires_grad)
        line = dict(case=case, trained=trained, **shared)
        for kind in KINDS:
            line[f'{kind}_s'] = round(statistics.median(wall for wall, _ in times[case, kind]), 4)
            clock = 0 if args.device == 'cuda' else 1
            for base in bases:
                ratios = [a[clock] / b[clock] for a, b in zip(times[case, kind], times[base, kind], strict=True)]
                line[f'{kind}_to_{base}'] = round(statistics.median(ratios), 3)
        line |= dict(
            step_mb=round(peak), **{f'step_mb_to_{b}': round(peak / peaks[args.cases.index(b)], 2) for b in bases}
        )
        lines.append(line)
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    methods = sorted(path.stem for path in HERE.glob('methods/*.py'))
    parser.add_argument('--arch', default='dinov3_vits16')
    parser.add_argument('--cases', nargs='+', choices=methods, default=methods, metavar='METHOD', help='(default: all)')
    parser.add_argument('--size', type=int, nargs='+', default=[224], help='side, or height and width (default: 224)')
    parser.add_argument('--batch', type=int, default=1)
    parser.add_argument('--repeats', type=int, default=7, help='rounds after the first (default: 7)')
    parser.add_argument('--device', choices=['cpu', 'cuda'], default='cpu')
    parser.add_argument('--dtype', choices=['fp32', 'bf16'], default='fp32')
    parser.add_argument('--json', type=Path, metavar='FILE', help='append the lines to this file')
    args = parser.parse_args()
    args.size = [args.size[0], args.size[-1]]
    lines = [json.dumps(line) for line in measure(args)]
    print(*lines, sep='\n')
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        with args.json.open('a') as file:
            file.write('\n'.join(lines) + '\n')


if __name__ == '__main__':
    main()
