"""Tables and a picture of the results, for Markdown between ``<!-- table: NAME -->`` and ``<!-- end -->``."""

import re
from collections.abc import Iterable, Sequence

import matplotlib

matplotlib.use('Agg')
import matplotlib.pyplot as plt
import numpy as np
from plan import HERE, RATES
from results import Results, differences, interval

from daga_mm.io import AtomicBackend, write_figure

PAGES = (HERE.parent / 'docs/benchmark.md', HERE.parent / 'README.md')
PICTURE = HERE.parent / 'docs/images/benchmark.png'
REFERENCES = ('frozen', 'lora')  # what every method is compared with
MARKED = re.compile(r'(<!-- table: (\S+) -->\n).*?(<!-- end -->)', re.DOTALL)


class Page:
    """The tables: 'summary', 'picture', 'costs', 'tuning', 'state', and one for each data set.

    Args:
        results: Of one trunk.
    """

    def __init__(self, results: Results) -> None:
        self.results, self.plan = results, results.plan
        self.found = {d: {m: results.seeds(d, m) for m in self.plan.methods} for d in self.plan.datasets}
        self.cost = {line['case']: line for line in results.lines('costs')}

    def fill(self, text: str) -> str:
        """A page with its tables as they are now."""
        return MARKED.sub(lambda match: f'{match[1]}\n{self.table(match[2])}\n\n{match[3]}', text)

    def table(self, name: str) -> str:
        """A table as Markdown."""
        return self.dataset(name) if name in self.plan.datasets else getattr(self, name)()

    def summary(self) -> str:
        """A row for each method: trained parameters, costs, and its mean on each data set."""
        datasets = [name for name, methods in self.found.items() if any(methods.values())]
        rows = []
        for method in self.plan.methods:
            lines = [line for name in datasets for line in self.found[name][method].values()]
            cost = self.cost.get(method, {})
            prices = [f'{cost[key]:.2f}' if key in cost else '' for key in ('step_to_frozen', 'step_mb_to_frozen')]
            scores = [self.mean(name, method) for name in datasets]
            rows += [[method, f'{lines[0]["trained"]:,}', *prices, *scores]] if lines else []
        return markdown(['', 'trained', 'step / frozen', 'memory / frozen', *map(self.title, datasets)], rows)

    def dataset(self, name: str) -> str:
        """A row for each method: result, differences to the references seed by seed, learning rate."""
        rows = []
        for method, lines in self.found[name].items():
            compared = [
                differences(lines, self.found[name][other]) for other in REFERENCES if other in self.found[name]
            ]
            if lines:
                some = next(iter(lines.values()))
                row = [method, f'{len(lines)}', self.mean(name, method)]
                row += [self.difference(name, values) if any(values) else '' for values in compared]
                rows.append(
                    [*row, f'{some["rate"]:g}', f'{np.median([line["cpu_seconds"] for line in lines.values()]):.0f}']
                )
        references = [f'− {other}' for other in REFERENCES]
        return markdown(['', 'seeds', self.title(name), *references, 'rate', 'CPU seconds of a run'], rows)

    def tuning(self) -> str:
        """Scores on validation images by learning rate."""
        rows = []
        for dataset in self.plan.datasets:
            for method in self.plan.methods:
                cells = [c for c in self.plan.cells if (c.part, c.dataset, c.method) == ('tuning', dataset, method)]
                lines = {cell.rate: line for cell in cells if (line := self.results.find(cell))}
                scores = [lines[rate]['score'] if rate in lines else '' for rate in RATES]
                rows += (
                    [[dataset, method, *('diverged' if one is None else f'{one}' for one in scores)]] if lines else []
                )
        return markdown(['', '', *(f'{rate:g}' for rate in RATES)], rows)

    def costs(self) -> str:
        """Time and memory of the backbone with a linear head."""
        keys = ('trained', 'forward_s', 'forward_to_frozen', 'step_s', 'step_to_frozen', 'step_to_full', 'step_mb')
        rows = [[name, *(f'{line[key]:,}' if key in line else '' for key in keys)] for name, line in self.cost.items()]
        head = ['', 'trained', 'forward, s', '/ frozen', 'step, s', '/ frozen', '/ full', 'memory of a step, MiB']
        return markdown(head, rows)

    def state(self) -> str:
        """How much of the plan has been run."""
        parts = dict.fromkeys(cell.part for cell in self.plan.cells)
        counts = []
        for part in parts:
            cells = [cell for cell in self.plan.cells if cell.part == part]
            done = [cell for cell in cells if self.results.find(cell)]
            core = [cell for cell in cells if cell.core]
            counts.append([part, f'{sum(cell.core for cell in done)} of {len(core)}', f'{len(done)} of {len(cells)}'])
        return markdown(['part', 'core plan', 'whole plan'], counts)

    def title(self, dataset: str) -> str:
        """What is measured on a data set."""
        about = self.plan.datasets[dataset].benchmark
        return f'{about.title}: {about.score}, {about.unit} {"↓" if self.plan.sign(dataset) < 0 else "↑"}'

    def mean(self, dataset: str, method: str) -> str:
        """Mean ± standard deviation over seeds; of one seed, its score."""
        values, digits = [line['score'] for line in self.found[dataset][method].values()], self.digits(dataset)
        deviation = f' ± {np.std(values, ddof=1):.{digits}f}' if len(values) > 1 else ''
        return f'{np.mean(values):.{digits}f}{deviation}' if values else ''

    def difference(self, dataset: str, values: Sequence[float]) -> str:
        """Mean ± half of the 95 % interval; of one pair, the difference."""
        digits = self.digits(dataset)
        half = f' ± {interval(values):.{digits}f}' if len(values) > 1 else ''
        return f'{np.mean(values):+.{digits}f}{half}'

    def digits(self, dataset: str) -> int:
        """Digits behind the point."""
        return 1 if self.plan.datasets[dataset].benchmark.unit == '%' else 3

    def picture(self) -> str:
        """The picture as Markdown, where there is one."""
        if not self.drawn():
            return 'No picture yet.'
        return f'![results over the time of a training step](images/{PICTURE.name})'

    def drawn(self) -> dict[str, list[str]]:
        """The methods that are drawn for each data set."""
        drawn = {d: [m for m in methods if methods[m] and m in self.cost] for d, methods in self.found.items()}
        return {dataset: methods for dataset, methods in drawn.items() if len(methods) > 2}

    def draw(self) -> plt.Figure:
        """Results over the time of a training step; areas are trained parameters."""
        drawn = self.drawn()
        figure, axes = plt.subplots(1, len(drawn), figsize=(5 * len(drawn), 4.5), squeeze=False)
        for axis, (dataset, methods) in zip(axes[0], drawn.items(), strict=True):
            for method in methods:
                lines = list(self.found[dataset][method].values())
                x, y = self.cost[method]['step_to_frozen'], np.mean([line['score'] for line in lines])
                axis.scatter(x, y, s=20 + lines[0]['trained'] / 5e3, alpha=0.5)
                axis.annotate(method, (x, y), textcoords='offset points', xytext=(4, 4), fontsize=9)
            if self.plan.sign(dataset) < 0:
                axis.invert_yaxis()
            axis.set(title=self.title(dataset), xlabel='time of a training step / frozen')
            axis.margins(0.15)
            axis.grid(alpha=0.3)
        figure.tight_layout()
        return figure


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; a sentence where it would be empty."""
    lines = [f'| {" | ".join(cells)} |' for cells in (head, ['---'] * len(head), *rows)]
    return '\n'.join(lines) if len(lines) > 2 else 'Nothing of this has been run yet.'


def write_pages(results: Results) -> None:
    """Bring the pages and the picture of the repository up to date."""
    page = Page(results)
    for path in PAGES:
        AtomicBackend().put_text(page.fill(path.read_text()), path)
    if page.drawn():
        write_figure(page.draw(), PICTURE, dpi=110)
