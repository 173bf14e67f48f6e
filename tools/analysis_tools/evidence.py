"""Every number of docs/evidence.md, from the seed: does DAGA help, by how much, and at what price?

    make evidence CIFAR10_ROOT=data/cifar10                       # all of it, about eight hours of two cores
    python tools/analysis_tools/evidence.py --device cuda --jobs 12   # on a GPU that has some cores beside it
    python tools/analysis_tools/evidence.py guidance              # a part of it
    python tools/analysis_tools/evidence.py --list                # what there is, what is done, what is left
    python tools/analysis_tools/evidence.py --again transfer/lora_0   # one cell once more, beside its earlier result

A cell is one result, a small file in docs/evidence. What is there already stays: a run that is broken off goes on with
the next cell, and tables and pictures are made of what there is. Data that are not there are drawn (scenes) or named.

parts:
"""

import argparse
import json
import os
import sys
import time
import traceback
from collections.abc import Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import redirect_stderr, redirect_stdout
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from experiments.page import write_page
from experiments.paths import Paths
from experiments.plan import DATA, PARTS, Cell, cells
from experiments.results import Results

from daga_mm.cli.errors import one_line_errors
from daga_mm.cli.parser import make_parser
from daga_mm.errors import RunError

ROOT = Path(__file__).parents[2]


def chosen(plan: list[Cell], asked: Iterable[str], results: Results) -> list[Cell]:
    """The cells that are asked for, by key or part (none: all), and those they need, in the order of the plan.

    Raises:
        ValueError: There is no such part or cell.
    """
    asked = set(asked) or set(PARTS)
    unknown = asked - set(PARTS) - {cell.key for cell in plan}
    if unknown:
        raise ValueError(f'no part or cell {", ".join(sorted(unknown))}: --list shows them')
    wanted = {cell.key for cell in plan if cell.key in asked or cell.part in asked}
    for cell in plan:
        if cell.key in wanted:
            wanted |= {other.key for other in results.before(cell)}
    return [cell for cell in plan if cell.key in wanted]


def run_cell(cell: Cell, settings: dict[str, Any], paths: Paths) -> tuple[dict[str, Any], float]:
    """Run one cell in this process, on one thread; returns its result and the seconds it took.

    What it prints goes to a file of its own. On a GPU, kernels that give the same result every time are taken where
    there are some, and float32 is float32.
    """
    torch.set_num_threads(1)
    if paths.device != 'cpu':
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # nothing here reads what it has not written
        torch.backends.cudnn.allow_tf32 = False
    log = paths.log(cell.key)
    log.parent.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    with log.open('w') as file, redirect_stdout(file), redirect_stderr(file):
        try:
            found = cell.function(paths, **settings)
        except Exception as error:
            traceback.print_exc()
            diverged = isinstance(error, FloatingPointError | RunError) and 'finite' in str(error)
            if cell.part != 'tuning' or not diverged:
                raise
            found = dict(score=0.0, diverged=str(error))  # a learning rate that is too high is a result
    return found, time.perf_counter() - start


def run_all(todo: list[Cell], paths: Paths, results: Results, jobs: int, minutes: float) -> list[str]:
    """Run cells and write their results, ``jobs`` at a time; what fails is left out, with all that needs it.

    Args:
        todo: In their order.
        paths: Where the data are.
        results: Where the results go.
        jobs: Cells at a time.
        minutes: No cell is started after these.

    Returns:
        What failed, a line each.
    """
    waiting, failed = list(todo), []
    running: dict[Future[tuple[dict[str, Any], float]], tuple[Cell, dict[str, Any]]] = {}
    start, done, expected = time.time(), 0.0, sum(cell.seconds for cell in todo)
    # The CPU's peak of memory is a process's own; on a GPU a process's start would take longer than most cells.
    cells_of_a_process = 1 if paths.device == 'cpu' else None
    with ProcessPoolExecutor(jobs, get_context('spawn'), max_tasks_per_child=cells_of_a_process) as pool:
        while waiting or running:
            for cell in list(waiting):
                occupied = (cell.alone and running) or any(other.alone for other, _ in running.values())
                if occupied or len(running) == jobs or time.time() - start > 60 * minutes:
                    break
                settings = results.settings(cell)
                if settings is None:
                    continue  # a cell that it needs is still running, or failed
                waiting.remove(cell)
                running[pool.submit(run_cell, cell, settings, paths)] = cell, settings
            if not running:
                break
            finished, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                cell, settings = running.pop(future)
                done += cell.seconds
                left = (time.time() - start) / done * (expected - done)
                try:
                    found, seconds = future.result()
                    results.write(cell, settings, found, seconds, device_of(cell, paths))
                    state = f'{seconds:.0f} s'
                except BrokenProcessPool:  # takes all cells that are running with it
                    failed.append(f'{cell.key}: a process was killed; with fewer --jobs there is more memory for each')
                    state = 'killed'
                    waiting.clear()
                except Exception as error:  # whatever it is, the other cells are not to blame
                    failed.append(f'{cell.key}: {type(error).__name__}: {error}')
                    state = f'failed, see {paths.log(cell.key)}'
                print(f'{done / expected:4.0%}  {cell.key}  {state}  {left / 60:.0f} min left', flush=True)
    return failed


def device_of(cell: Cell, paths: Paths) -> str:
    """What a cell's result is said to have been computed on; what is timed is timed on the CPU."""
    return 'cpu' if cell.alone or paths.device == 'cpu' else torch.cuda.get_device_name(paths.device)


def overview(plan: list[Cell], results: Results) -> str:
    """The parts, and how much of each is done."""
    lines = []
    for part, what in PARTS.items():
        own = [cell for cell in plan if cell.part == part]
        left = [cell for cell in own if results.read(cell) is None]
        hours = sum(cell.seconds for cell in left) / 3600
        lines.append(f'{part:16}{len(own) - len(left):4} of {len(own):3} done, {hours:4.1f} core hours left  {what}')
        lines += [f'    {cell.key}' for cell in left]
    return '\n'.join(lines)


def parse_args() -> argparse.Namespace:
    description = (__doc__ or '') + '\n'.join(f'  {name:16}{what}' for name, what in PARTS.items())
    parser = make_parser(description)
    parser.add_argument('asked', nargs='*', metavar='PART or CELL', help='(default: all)')
    parser.add_argument('--list', action='store_true', help='say what is done and what is left')
    parser.add_argument('--again', metavar='CELL', help='run one once more and compare; its result stays as it was')
    parser.add_argument('--page', action='store_true', help='write tables and pictures of what there is')
    parser.add_argument('--jobs', type=int, default=2, help='cells at a time, a thread each (default: 2)')
    parser.add_argument(
        '--device',
        choices=['cpu', 'cuda'],
        default='cuda' if torch.cuda.is_available() else 'cpu',
        help='that computes (default: cuda if it is there)',
    )
    parser.add_argument('--minutes', type=float, help='start no cell after so many; a later run goes on')
    parser.add_argument(
        '--docs', type=Path, default=ROOT / 'docs', help='evidence.md, results and pictures (default: docs)'
    )
    parser.add_argument('--work-dir', type=Path, default=ROOT / 'work_dirs/evidence', help='data and logs go here')
    return parser.parse_args()


def repeat(cell: Cell, paths: Paths, results: Results) -> str:
    """Run a cell once more, in a process of its own as the first time.

    Returns:
        What differs from its result, time and memory apart; '' if nothing does.

    Raises:
        ValueError: It has no result yet, or one of seconds.
    """
    if cell.alone:
        raise ValueError(f'{cell.key} is of seconds, which are other ones each time')
    before = results.read(cell)
    if before is None:
        raise ValueError(f'{cell.key} has no result to compare with yet')
    for name in cell.needs:
        DATA[name](paths)
    with ProcessPoolExecutor(1, get_context('spawn')) as pool:
        found, _ = pool.submit(run_cell, cell, before['settings'], paths).result()
    now = json.loads(json.dumps(found))
    differences = [
        f'{name}: {before["result"].get(name)} before, {now[name]} now'
        for name in now
        if name not in ('seconds', 'train_seconds', 'peak_mb') and now[name] != before['result'].get(name)
    ]
    device = device_of(cell, paths)
    if differences and (before.get('device', 'cpu'), before['torch']) != (device, torch.__version__):
        differences.append(
            f'before: {before.get("device", "cpu")}, torch {before["torch"]}; now: {device}, torch {torch.__version__}'
        )
    return '\n'.join(differences)


def main() -> None:
    args = parse_args()
    plan = cells()
    results = Results(plan, args.docs / 'evidence')
    paths = Paths(Path(os.environ.get('CIFAR10_ROOT', 'data/cifar10')), args.work_dir, args.device)
    if args.device == 'cpu':
        os.environ['CUDA_VISIBLE_DEVICES'] = ''  # mmengine's runner would take a GPU
    else:
        os.environ['CUBLAS_WORKSPACE_CONFIG'] = ':4096:8'  # the same sums every time
    with one_line_errors(args.traceback):
        if args.list:
            print(overview(plan, results))
            return
        if args.again:
            (cell,) = (cell for cell in chosen(plan, [args.again], results) if cell.key == args.again)
            difference = repeat(cell, paths, results)
            sys.exit(difference or print(f'{cell.key}: the same result'))
        todo = [cell for cell in chosen(plan, args.asked, results) if results.read(cell) is None]
        if not args.page and todo:
            for name in dict.fromkeys(need for cell in todo for need in cell.needs):
                DATA[name](paths)
            hours = sum(cell.seconds for cell in todo) / 3600
            print(f'{len(todo)} cells, about {hours:.1f} core hours, {args.jobs} at a time', flush=True)
            failed = run_all(todo, paths, results, args.jobs, args.minutes or float('inf'))
            if failed:
                print('failed:', *failed, sep='\n  ', file=sys.stderr)
        print(write_page(plan, results, args.docs))
        if not args.page and todo and failed:
            sys.exit(1)


if __name__ == '__main__':
    main()
