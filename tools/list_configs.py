"""List the configs: task, data set, trunk, method, parameters, and whether weights or measurements exist.

    python tools/list_configs.py
    python tools/list_configs.py --task segmentation --json

A method is an adapter (daga, lora), frozen, full fine-tuning, or any, that of the checkpoint, for probes. Other trunks
and adapters are options of the same configs: --cfg-options trunk=vitl16, --adapter mona. Parameters are in millions,
those that the config trains and all, from the metafiles of configs/; `tools/analysis_tools/model_report.py CONFIG`
counts them.
"""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]  # of the repository, or of .mim in an installed package
TASKS = {'segmentation': 'mmseg', 'detection': 'mmdet', 'depth': 'depth', 'classification': 'mmpretrain'}


def list_configs(task: str) -> list[dict[str, Any]]:
    """A row for every config of a task, from its name and the task's metafile."""
    metafile = yaml.safe_load((ROOT / 'configs' / TASKS[task] / 'metafile.yml').read_text())
    return [describe(task, entry) for entry in metafile['Models']]


def describe(task: str, entry: dict[str, Any]) -> dict[str, Any]:
    # {model}_{method}-{trunk}_{neck or head}_{…}_{data set}, or {probe}_{data set}: CONTRIBUTING.md
    model, *more, data = entry['Name'].split('_')
    method, trunk = more.pop(0).split('-') if more else ('any', 'any')
    return dict(
        task=task,
        data=data.partition('-')[0],
        model='-'.join([model, *more[:1]]),
        trunk=trunk,
        method=method,
        trained=entry['Metadata']['Trained'],
        total=entry['Metadata']['Parameters'],
        weights=entry.get('Weights'),
        results=entry.get('Results'),
        config=entry['Config'],
    )


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as aligned text."""
    lines = [('task', 'data', 'model', 'trunk', 'method', 'trained', 'total', 'weights', 'measured', 'config')]
    for row in rows:
        trained = f'{row["trained"] / 1e6:.2f}' if row['trained'] else '-'
        words = [row[key] for key in ('task', 'data', 'model', 'trunk', 'method')]
        exists = ['yes' if row[key] else 'no' for key in ('weights', 'results')]
        lines.append((*words, trained, f'{row["total"] / 1e6:.1f}', *exists, row['config']))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    numbers = {lines[0].index('trained'), lines[0].index('total')}
    return '\n'.join(
        '  '.join(
            cell.rjust(width) if i in numbers else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def main() -> None:
    # Not the parser of daga_mm.cli: a list needs no daga_mm.
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--task', choices=TASKS, help='those of one task (default: all)')
    parser.add_argument('--json', action='store_true', help='print JSON: all of it, parameters as whole numbers')
    args = parser.parse_args()
    rows = [row for task in ([args.task] if args.task else TASKS) for row in list_configs(task)]
    try:
        print(json.dumps(rows, indent=1) if args.json else table(rows), flush=True)
    except BrokenPipeError:
        # The reader, `head` for one, has seen enough; so Python has nobody to tell at its exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == '__main__':
    main()
