"""Run the benchmark. Each cell, a method on a data set with a seed, is a training run of tools/train.py.

    python benchmarks/run.py                         # all that a CPU of two cores can do in a night
    python benchmarks/run.py camvid --device cuda    # one part
    python benchmarks/run.py camvid_linear/lora/0    # one cell
    python benchmarks/run.py --list                  # what is done, what is left, what is beyond the plan for a CPU

A finished cell is a line of benchmarks/results/PART.jsonl and is not run again: an interrupted run continues with the
next cell. CAMVID_ROOT, NYU_ROOT, CIFAR10_ROOT and PENNFUDAN_ROOT say where the data are, DINOV3_CHECKPOINTS where the
weights are, and TRUNK which trunk of configs/_base_/dinov3.py is taken.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from datetime import timedelta
from pathlib import Path

import torch
from page import write_pages
from plan import HERE, Cell, Plan
from results import Line, Results

from daga_mm.backbones import DAGAViT

ROOT = HERE.parent


def chosen(results: Results, asked: Iterable[str], whole: bool) -> list[Cell]:
    """The cells that are asked for and have no result, and those that choose their learning rates.

    Args:
        results: What is done.
        asked: Parts and cells; none means all parts.
        whole: Take all cells of a part, not only the core.

    Raises:
        ValueError: There is no such part or cell.
    """
    cells, asked = results.plan.cells, set(asked)
    unknown = asked - {'costs'} - {cell.part for cell in cells} - {str(cell) for cell in cells}
    if unknown:
        parts = ', '.join(dict.fromkeys(cell.part for cell in cells))
        raise ValueError(f'no part or cell {", ".join(sorted(unknown))}; the parts are {parts}, costs; cells: --list')
    wanted = {c for c in cells if str(c) in asked or ((not asked or c.part in asked) and (c.core or whole))}
    wanted |= {tuning for cell in wanted for tuning in results.plan.tuning(cell)}
    return [cell for cell in cells if cell in wanted and not results.find(cell)]


def run_cell(cell: Cell, rate: float, plan: Plan, work_dir: Path, device: str) -> Line:
    """Train a cell in a process of its own, on the CPU with one thread; returns its result.

    Raises:
        RuntimeError: It failed; the message has its exit status and the last line that it printed.
    """
    folder = work_dir / str(cell)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    config = plan.config(cell, rate, folder)
    backbone = build_backbone(config.model.backbone)
    if device == 'cuda':
        config.optim_wrapper.type = 'daga_mm.BFloat16OptimWrapper'
    # Where most blocks are the same in every epoch, they run once.
    if config.benchmark.get('deterministic') and backbone.first_block > backbone.num_layers // 2:
        config.custom_hooks.append(dict(type='daga_mm.TokenCacheHook', folder=str(work_dir / 'tokens')))
    config.dump(folder / 'config.py')
    environment = os.environ | {'PYTHONPATH': os.pathsep.join([str(ROOT), str(HERE), os.environ.get('PYTHONPATH', '')])}
    if device == 'cpu':
        environment |= {'OMP_NUM_THREADS': '1', 'CUDA_VISIBLE_DEVICES': ''}
    start, output = time.perf_counter(), folder / 'output.txt'
    with output.open('w') as file:
        command = [sys.executable, '-W', 'ignore', ROOT / 'tools/train.py', folder / 'config.py']
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, cwd=ROOT, env=environment)
        _, status, usage = os.wait4(process.pid, 0)  # with the time and memory of this child alone
        process.returncode = os.waitstatus_to_exitcode(status)
    line: Line = dict(dataset=cell.dataset, method=cell.method, seed=cell.seed, rate=rate, trunk=plan.trunk)
    if process.returncode:
        last = output.read_text().strip().rpartition('\n')[2]
        if cell.part == 'tuning' and 'not finite' in last:
            return line | dict(score=None)  # the rate is too high, which is a result
        raise RuntimeError(f'exit status {process.returncode}: {last} ({output})')
    log = [json.loads(one) for path in folder.glob('*/vis_data/scalars.json') for one in path.read_text().splitlines()]
    metrics = next(one for one in reversed(log) if config.benchmark.score in one)
    return line | dict(
        score=metrics[config.benchmark.score],
        metrics={name: value for name, value in metrics.items() if name not in ('time', 'data_time', 'step')},
        trained=trained_parameters(backbone),
        fingerprint=next(one['trunk'] for one in log if 'trunk' in one),
        seconds=round(time.perf_counter() - start, 1),
        cpu_seconds=round(usage.ru_utime + usage.ru_stime, 1),
        peak_mb=max(one['memory'] for one in log if 'memory' in one) if device == 'cuda' else usage.ru_maxrss // 1024,
        device=torch.cuda.get_device_name() if device == 'cuda' else 'cpu',
        torch=torch.__version__,
    )


def build_backbone(config: dict) -> DAGAViT:
    """The backbone of a config, without memory for its weights."""
    options = {name: value for name, value in config.items() if name not in ('type', 'init_cfg')}
    with torch.device('meta'):
        return DAGAViT(**options)


def trained_parameters(backbone: DAGAViT) -> int:
    """How many parameters of a backbone are trained, head and neck not counted."""
    return sum(p.numel() for p in backbone.parameters() if p.requires_grad)


def run_all(cells: list[Cell], results: Results, work_dir: Path, device: str, jobs: int) -> list[str]:
    """Run cells, ``jobs`` at a time, and write each result at once; returns what failed, a line each."""
    failed, done, start = [], 0, time.time()
    for tuning in (True, False):  # learning rates first: other cells wait for them
        rates = {cell: results.rate(cell) for cell in cells if (cell.part == 'tuning') == tuning}
        failed += [f'{cell}: a cell that chooses its learning rate failed' for cell in rates if rates[cell] is None]
        pool = ThreadPoolExecutor(jobs)
        running = {pool.submit(run_cell, c, r, results.plan, work_dir, device): c for c, r in rates.items() if r}
        try:
            for future in as_completed(running):
                cell, done = running[future], done + 1
                try:
                    line = future.result()
                    results.append(cell.part, line)
                    state = f'{line["score"]}'
                except RuntimeError as error:
                    failed.append(f'{cell}: {error}')
                    state = 'failed'
                left = timedelta(seconds=round((time.time() - start) / done * (len(cells) - done)))
                print(f'{done} of {len(cells)}, {left} left: {cell} {state}', flush=True)
        finally:  # after Ctrl-C, none of those that wait
            pool.shutdown(cancel_futures=True)
    return failed


def run_costs(results: Results, device: str) -> None:
    """Measure the costs of all methods on the trunk, unless that is done."""
    known = {line['case'] for line in results.lines('costs')}
    if not known >= set(results.plan.methods):
        width, height = results.plan.datasets['camvid_linear'].size
        dtype = 'bf16' if device == 'cuda' else 'fp32'
        options = f'--arch {results.plan.backbone.arch} --size {height} {width} --batch 8 --dtype {dtype}'
        options += f' --device {device}'
        command = [sys.executable, HERE / 'costs.py', *options.split(), '--json', results.folder / 'costs.jsonl']
        subprocess.run(command, check=True, env=os.environ | {'OMP_NUM_THREADS': '1'})


def overview(results: Results) -> str:
    """The cells without a result, by part."""
    lines = []
    for part in dict.fromkeys(cell.part for cell in results.plan.cells):
        for core, name in ((True, part), (False, f'{part}, beyond the plan for a CPU')):
            cells = [cell for cell in results.plan.cells if (cell.part, cell.core) == (part, core)]
            left = [cell for cell in cells if not results.find(cell)]
            lines += [f'{name}: {len(cells) - len(left)} of {len(cells)} done', *(f'    {cell}' for cell in left)]
    return '\n'.join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('asked', nargs='*', metavar='PART or CELL', help='(default: all parts, and costs)')
    parser.add_argument('--list', action='store_true', help='say what is done and what is not')
    parser.add_argument('--page', action='store_true', help='write tables and picture of what is done, run nothing')
    parser.add_argument('--again', action='store_true', help='run the named cells once more and compare their scores')
    parser.add_argument('--whole', action='store_true', help='all methods with all seeds')
    parser.add_argument('--device', choices=['cpu', 'cuda'], default='cuda' if torch.cuda.is_available() else 'cpu')
    parser.add_argument('--jobs', type=int, default=2, help='cells at a time (default: 2)')
    parser.add_argument('--work-dir', type=Path, default=ROOT / 'work_dirs/benchmark', help='logs and checkpoints')
    args = parser.parse_args()
    results = Results(HERE / 'results', Plan())
    failed = []
    if args.list:
        print(overview(results))
    elif args.again:
        done = {cell: line for cell in results.plan.cells if str(cell) in args.asked and (line := results.find(cell))}
        for cell, line in done.items():
            again = run_cell(cell, line['rate'], results.plan, args.work_dir, args.device)
            print(f'{cell}: {line["score"]}, again {again["score"]}')
            failed += [f'{cell}: another score'] if again['score'] != line['score'] else []
        failed += [f'{name}: no result to compare with' for name in set(args.asked) - set(map(str, done))]
    elif not args.page:
        try:
            cells = chosen(results, args.asked, args.whole)
        except ValueError as error:
            parser.error(str(error))
        failed = run_all(cells, results, args.work_dir, args.device, args.jobs)
        if not args.asked or 'costs' in args.asked:
            run_costs(results, args.device)
    if not args.list:
        write_pages(results)
    if failed:
        sys.exit('\n'.join(['failed:', *failed]))


if __name__ == '__main__':
    main()
