"""What came out: a line of JSON for each finished cell, in one file per part; and statistics of it."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from plan import Cell, Plan
from scipy import stats

Line = dict[str, Any]


class Results:
    """The results of a plan on its trunk. Lines of other trunks, in the same files, are left alone.

    Args:
        folder: Holds ``PART.jsonl``.
        plan: Which cells there are.
    """

    def __init__(self, folder: Path, plan: Plan) -> None:
        self.folder, self.plan = folder, plan

    def lines(self, part: str) -> list[Line]:
        """The lines of a part; of 'costs', those of the trunk's architecture."""
        path = self.folder / f'{part}.jsonl'
        lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        wanted = dict(arch=self.plan.backbone.arch) if part == 'costs' else dict(trunk=self.plan.trunk)
        return [line for line in lines if wanted.items() <= line.items()]

    def append(self, part: str, line: Line) -> None:
        """Add a line to the file of a part."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / f'{part}.jsonl').open('a') as file:
            file.write(json.dumps(line) + '\n')

    def rate(self, cell: Cell) -> float | None:
        """The learning rate of a cell: of those that were tried, the best; None while some have not been tried."""
        tried = self.plan.tuning(cell)
        if not tried:
            return cell.rate or self.plan.datasets[cell.dataset].optim_wrapper.optimizer.lr
        lines = [self.find(tuning) for tuning in tried]
        if None in lines:
            return None
        sign = self.plan.sign(tried[0].dataset)
        return max((line for line in lines if line['score'] is not None), key=lambda line: sign * line['score'])['rate']

    def find(self, cell: Cell) -> Line | None:
        """The result of a cell at its learning rate; None if there is none."""
        wanted = dict(dataset=cell.dataset, method=cell.method, seed=cell.seed, rate=self.rate(cell))
        return next((line for line in self.lines(cell.part) if wanted.items() <= line.items()), None)

    def seeds(self, dataset: str, method: str) -> dict[int, Line]:
        """The results of a method on a data set, by seed."""
        cells = [c for c in self.plan.cells if (c.dataset, c.method) == (dataset, method) and c.part != 'tuning']
        return {cell.seed: line for cell in cells if (line := self.find(cell))}


def interval(values: Sequence[float]) -> float:
    """Half of the 95 % interval of the mean of two or more values, by Student's t."""
    n = len(values)
    return float(stats.t.ppf(0.975, n - 1) * np.std(values, ddof=1) / n**0.5)


def differences(lines: Mapping[int, Line], others: Mapping[int, Line]) -> list[float]:
    """Differences of the scores of two methods, seed by seed."""
    return [lines[seed]['score'] - others[seed]['score'] for seed in sorted(lines.keys() & others.keys())]
