"""What the trunk part of several tasks costs on one trunk, in units of one frozen forward pass.

    OMP_NUM_THREADS=1 python benchmarks/shared_trunk.py --arch dinov3_vits16 --size 512

A line for each adapter: the same number of backbones one after the other, each by itself (apart) and on one trunk that
keeps what it computed (together), as `daga_mm.apis.Tasks` runs them. Weights are random; heads are left out. Rounds are
interleaved, and ratios are medians over rounds, on the CPU of its process time.
"""

import argparse
import json
import statistics
from functools import partial
from typing import Any

import torch
from costs import seconds

from daga_mm.backbones import DAGAViT, shared_blocks

CASES: dict[str, Any] = {
    'frozen': None,
    'daga 10 11': dict(type='DAGA', layers=(-2, -1)),
    'daga 1 2 10 11': dict(type='DAGA', layers=(1, 2, -2, -1)),
}


def build(adapter: Any, args: argparse.Namespace) -> list[DAGAViT]:
    """As many backbones as there are tasks, on one trunk."""
    torch.manual_seed(0)
    backbones = [DAGAViT(args.arch, adapter=adapter).to(args.device).eval() for _ in range(args.tasks)]
    for backbone in backbones[1:]:
        backbone.trunk = backbones[0].trunk
    return backbones


def apart(backbones: list[DAGAViT], images: torch.Tensor) -> None:
    for backbone in backbones:
        backbone(images)


def together(backbones: list[DAGAViT], images: torch.Tensor) -> None:
    with shared_blocks(backbones[0].trunk):
        apart(backbones, images)


@torch.no_grad()
def measure(args: argparse.Namespace) -> list[dict]:
    """A line for each case."""
    images = torch.randn(1, 3, *args.size, device=args.device)
    models = {case: build(adapter, args) for case, adapter in CASES.items()}
    runs = {('one', 'frozen'): partial(apart, models['frozen'][:1], images)}
    for case, backbones in models.items():
        runs |= {(how.__name__, case): partial(how, backbones, images) for how in (apart, together)}
    times: dict[tuple[str, str], list[float]] = {key: [] for key in runs}
    for turn in range(args.repeats + 1):
        for key, run in runs.items():
            taken = seconds(run, args.device)[0 if args.device == 'cuda' else 1]
            if turn:  # the first warms up
                times[key].append(taken)
    base = times['one', 'frozen']
    ratio = {key: statistics.median(a / b for a, b in zip(times[key], base, strict=True)) for key in runs}
    setting = dict(arch=args.arch, size=args.size, tasks=args.tasks, device=args.device, torch=torch.__version__)
    one = round(statistics.median(base), 4)
    hows = ('apart', 'together')
    return [
        dict(case=case, **{how: round(ratio[how, case], 3) for how in hows}, one_s=one, **setting) for case in CASES
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--arch', default='dinov3_vits16')
    parser.add_argument('--size', type=int, nargs='+', default=[512], help='side, or height and width (default: 512)')
    parser.add_argument('--tasks', type=int, default=3, help='how many (default: 3)')
    parser.add_argument('--repeats', type=int, default=7, help='rounds after the first (default: 7)')
    parser.add_argument('--device', choices=['cpu', 'cuda'], default='cpu')
    args = parser.parse_args()
    args.size = [args.size[0], args.size[-1]]
    print(*map(json.dumps, measure(args)), sep='\n')


if __name__ == '__main__':
    main()
