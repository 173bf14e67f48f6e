"""Compare runs on one page: metrics and their differences, costs, curves, settings, predictions, attention.

    python tools/report.py work_dirs/upernet_frozen work_dirs/upernet_daga work_dirs/upernet_full --out report.html

The first run is what the others are compared with. The page is one file and opens offline. Predictions are there if the
runs drew them (`default_hooks.visualization.draw=True` in mmseg and mmdet), attention if they had AttentionVisHook.
"""

import argparse
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from daga_mm.cli.errors import one_line_errors
from daga_mm.cli.parser import file, make_parser
from daga_mm.errors import as_run_error

if TYPE_CHECKING:  # functions import what takes its time, torch above all: help and argument errors come before
    from daga_mm.visualization import Run


def parse_args() -> argparse.Namespace:
    parser = make_parser(__doc__)
    parser.add_argument('work_dirs', nargs='+', metavar='WORK_DIR', help='of a training')
    parser.add_argument('--out', type=file, default=Path('report.html'), help='the page (default: report.html)')
    parser.add_argument('--pictures', type=int, default=6, help='most predictions, and most panels (default: 6)')
    return parser.parse_args()


def parameters(run: 'Run') -> dict[str, int]:
    """Of the run's model; none, and a line that says why, where its parts are not here any more."""
    from daga_mm.engine import build_on_meta, count_parameters

    try:
        return count_parameters(build_on_meta(run.config))
    except Exception as error:  # of whoever wrote the model; metrics, curves and pictures are there all the same
        words = f'{type(error).__name__}: {error}'.splitlines()[0][:200]
        print(f'{run.name}: its parameters are not counted, since its model cannot be built: {words}', file=sys.stderr)
        return {}


def main() -> None:
    args = parse_args()
    warnings.filterwarnings('ignore', module='mm.*')  # deprecations inside the mm packages
    with one_line_errors(args.traceback):
        from daga_mm.visualization import read_run, render_report, write_report

        with as_run_error(OSError, ValueError):
            runs = [read_run(folder) for folder in args.work_dirs]
        page = render_report(runs, [parameters(run) for run in runs], args.pictures)
        args.out.parent.mkdir(parents=True, exist_ok=True)
        write_report(args.out, page)
    print(f'{args.out}: {len(runs)} run{"s" * (len(runs) > 1)}, {len(page.encode()) / 2**20:.1f} MiB')


if __name__ == '__main__':
    main()
