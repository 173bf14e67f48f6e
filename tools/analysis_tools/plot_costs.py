"""Curves from what benchmark.py measured: seconds over the size of images, ratios over the number of DAGA layers.

    python tools/analysis_tools/benchmark.py --size 224 320 416 512 --cases frozen daga two_pass full \
        --guidance default --layers 1 2 10 11 --memory none --json sizes.json
    python tools/analysis_tools/benchmark.py --cases frozen daga full --guidance default --layers 11 --layers 10 11 \
        --layers 8 9 10 11 --layers 0 1 2 3 4 5 6 7 8 9 10 11 --memory none --json layers.json
    python tools/analysis_tools/plot_costs.py --sizes sizes.json --layers layers.json --out docs/images/costs.png
"""

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use('Agg')
import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from daga_mm.cli.errors import one_line_errors
from daga_mm.cli.parser import make_parser
from daga_mm.engine import write_figure
from daga_mm.errors import as_run_error

NAMES = {'frozen': 'frozen trunk', 'daga': 'DAGA', 'two_pass': 'two passes', 'full': 'full fine-tuning'}
COLOURS = {'frozen': '#4a4e57', 'daga': '#d1495b', 'two_pass': '#8a5fbf', 'full': '#1f6fb4'}
Rows = list[dict[str, Any]]


def over_size(axis: Axes, rows: Rows, key: str, title: str) -> None:
    """A curve for each case, in seconds."""
    for case, name in NAMES.items():
        points = [(row['size'], row[key]) for row in rows if row['case'] == case and row[key] is not None]
        if points:
            axis.plot(*zip(*points, strict=True), marker='o', label=name, color=COLOURS[case])
    axis.set(title=title, xlabel='pixels along one side', ylabel='seconds', ylim=(0, None))
    axis.legend(frameon=False)


def over_layers(axis: Axes, rows: Rows) -> None:
    """Two curves of DAGA: an inference beside the frozen trunk's, a training step beside full fine-tuning's."""
    daga = sorted((row for row in rows if row['case'] == 'daga'), key=lambda row: len(row['layers']))
    for key, name in (('forward_to_frozen', 'forward / frozen trunk'), ('step_to_full', 'step / full fine-tuning')):
        points = [(len(row['layers']), row[key]) for row in daga if row[key] is not None]
        if points:
            axis.plot(*zip(*points, strict=True), marker='o', label=name)
    axis.set(title='DAGA behind the last blocks', xlabel='blocks with DAGA', ylabel='ratio', ylim=(0, None))
    axis.axhline(1, color='grey', linewidth=0.8)
    axis.legend(frameon=False)


def read(path: Path, cases: Iterable[str]) -> Rows:
    """The rows of a file of benchmark.py's.

    Raises:
        ValueError: There are none of one of the cases.
    """
    rows = json.loads(path.read_text())
    missing = set(cases) - {row['case'] for row in rows}
    if missing:
        raise ValueError(
            f'{path} has no rows of {", ".join(sorted(missing))}: see --help for the command that makes them'
        )
    return [row for row in rows if not row['with_cp']]


def parse_args() -> argparse.Namespace:
    parser = make_parser(__doc__)
    parser.add_argument('--sizes', type=Path, required=True, metavar='FILE', help='several sizes')
    parser.add_argument('--layers', type=Path, required=True, metavar='FILE', help='several sets of layers')
    parser.add_argument('--out', type=Path, required=True, metavar='PNG')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    with one_line_errors(args.traceback), as_run_error(OSError, ValueError):
        sizes, layers = read(args.sizes, ('frozen', 'daga')), read(args.layers, ('frozen', 'daga'))
    figure, axes = plt.subplots(1, 3, figsize=(13, 4))
    first = sizes[0]
    over_size(axes[0], sizes, 'forward_s', 'forward')
    over_size(axes[1], sizes, 'step_s', 'training step')
    over_layers(axes[2], layers)
    figure.suptitle(f'{first["arch"]}, {first["dtype"]}, batch {first["batch"]}, {first["device"]}', fontsize=10)
    figure.tight_layout()
    write_figure(figure, args.out, dpi=110)


if __name__ == '__main__':
    main()
