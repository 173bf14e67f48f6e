"""One page that compares runs: metrics, costs, curves, settings, predictions, attention; with everything in it."""

import base64
import io
import math
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import jinja2
import numpy as np
from matplotlib import colormaps
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

from ..io import AtomicBackend
from .work_dir import Curve, Run, differences

COLOURS = ('#1f6fb4', '#d1495b', '#3a8f5b', '#8a5fbf', '#c98a1b', '#4a4e57', '#17a2a2', '#a05a2c')
_PANELS = ('attention_', 'features_', 'gates')


def render_report(runs: Sequence[Run], counts: Sequence[Mapping[str, int]], max_pictures: int = 6) -> str:
    """The page as HTML, which needs no other file and no network.

    Args:
        runs: The first one is what the others are compared with.
        counts: Parameters of each, as `daga_mm.engine.count_parameters` gives them; empty where they are not known.
        max_pictures: Predictions and panels to show, of each kind.
    """
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string((Path(__file__).parent / 'report.html').read_text())
    labels = short_names([run.name for run in runs]) if len(runs) > 1 else [runs[0].method]
    colours = [COLOURS[number % len(COLOURS)] for number in range(len(runs))]
    block_colours = _block_colours(runs)
    return template.render(
        names=labels,
        full_names=[run.name for run in runs],
        methods=[run.method for run in runs],
        colours=colours,
        metrics=_metrics(runs),
        costs=_costs(runs, counts),
        curves=_curves(runs, colours),
        blocks=block_colours,
        adapter_curves=_adapter_curves(runs, labels, block_colours),
        settings=_settings(runs),
        samples=_pictures(runs, max_pictures, panels=False),
        panels=_pictures(runs, max_pictures, panels=True),
    )


def short_names(names: Sequence[str]) -> list[str]:
    """What tells the runs apart: the words of each name that not all of them have.

    A number alone says nothing and takes the word in front of it along. Where that leaves nothing, or two alike, it is
    the place of a run that tells: 'run 1', 'run 2'.
    """
    words = [re.findall(r'[^_-]+', name) for name in names]
    common = set.intersection(*map(set, words))
    short = []
    for parts in words:
        kept = [number for number, word in enumerate(parts) if word not in common]
        lonely = [number - 1 for number in kept if number and parts[number].isdecimal()]
        short.append(' '.join(parts[number] for number in sorted({*kept, *lonely})))
    if '' in short or len(set(short)) < len(short):
        return [f'run {number}' for number in range(1, 1 + len(names))]
    return short


# -- tables ------------------------------------------------------------------------------------------------------------


def _row(name: str, values: Sequence[float | None], words: str = '{:.4g}') -> dict[str, Any]:
    """A line of a table: the values, and how far the others are from the first."""
    first = values[0]
    cells = []
    for number, value in enumerate(values):
        change = value - first if number and value is not None and first is not None else 0
        change = change if math.isfinite(change) else 0
        cells.append(
            dict(
                value='–' if value is None else words.format(value),
                change=f'{"+" if change > 0 else "−"}{words.format(abs(change))}' if change else None,
            )
        )
    return dict(name=name, cells=cells)


def _metrics(runs: Sequence[Run]) -> list[dict[str, Any]]:
    rows = []
    for name in _union(run.metrics for run in runs):
        rows.append(_row(name, [run.metrics[name][-1][1] if run.metrics.get(name) else None for run in runs]))
    for name in _union(run.tested for run in runs):
        rows.append(_row(f'{name}, tested', [run.tested.get(name) for run in runs]))
    return rows


def _costs(runs: Sequence[Run], counts: Sequence[Mapping[str, int]]) -> list[dict[str, Any]]:
    shares = [100 * count['trained'] / count['total'] if count else None for count in counts]
    rows = [
        _row('trained parameters', [count.get('trained') for count in counts], '{:,}'),
        _row('… of all, %', shares, '{:.2f}'),
        _row('added by adapters', [count.get('added') for count in counts], '{:,}'),
        _row('all parameters', [count.get('total') for count in counts], '{:,}'),
        _row('time per iteration, s (median)', [run.seconds for run in runs], '{:.3f}'),
        _row('peak GPU memory, MiB', [run.memory for run in runs], '{:,.0f}'),
        _row('last step', [run.training['loss'][-1][0] if run.training.get('loss') else None for run in runs], '{:,}'),
    ]
    for part in ('trunk', 'adapters'):
        cells = [dict(value=run.fingerprints.get(part, '–'), change=None) for run in runs]
        rows.append(dict(name=f'fingerprint of the {part}', cells=cells, code=True))
    return rows


def _settings(runs: Sequence[Run]) -> list[dict[str, Any]]:
    return [
        dict(name=name, values=['–' if value is None else value for value in values])
        for name, values in differences(list(runs)).items()
    ]


def _union(dicts: Any) -> list[str]:
    return list(dict.fromkeys(name for one in dicts for name in one))


# -- curves ------------------------------------------------------------------------------------------------------------


def _curves(runs: Sequence[Run], colours: Sequence[str]) -> list[dict[str, str]]:
    """Plots as SVG, a line per run: the loss, every metric, the learning rate. Their legend is the page's."""

    def of_all(kind: str, name: str) -> list[Curve]:
        return [getattr(run, kind).get(name, []) for run in runs]

    plots = {'training loss': of_all('training', 'loss')}
    plots |= {name: of_all('metrics', name) for name in _union(run.metrics for run in runs)}
    plots['learning rate'] = of_all('training', 'lr')
    return [
        dict(title=title, svg=_plot(lines, colours))
        for title, lines in plots.items()
        if any(len(curve) > 1 for curve in lines)
    ]


def _adapter_curves(runs: Sequence[Run], labels: Sequence[str], colours: Mapping[str, str]) -> list[dict[str, str]]:
    """Plots as SVG, one per run and quantity, a line per block."""
    drawn = []
    for quantity in _union(run.adapters for run in runs):
        for label, run in zip(labels, runs, strict=True):
            if curves := run.adapters.get(quantity):
                title = quantity.replace('/', ': ').replace('_', ' ')
                svg = _plot(list(curves.values()), [colours[block] for block in curves])
                drawn.append(dict(title=f'{title}, {label}' if len(runs) > 1 else title, svg=svg))
    return drawn


def _block_colours(runs: Sequence[Run]) -> dict[str, str]:
    """A colour for each block that any run has curves of, dark for the first, light for the last."""
    names = _union(curves for run in runs for curves in run.adapters.values())
    blocks = sorted(names, key=lambda name: int(name) if name.isdigit() else -1)  # 'all': of all blocks together
    places = np.linspace(0.05, 0.85, len(blocks))
    return {block: to_hex(colormaps['viridis'](place)) for block, place in zip(blocks, places, strict=True)}


def _plot(lines: Sequence[Curve], colours: Sequence[str]) -> str:
    figure = Figure(figsize=(4.2, 2.5), layout='constrained')
    axis = figure.subplots()
    for curve, colour in zip(lines, colours, strict=True):
        if curve:
            shown = curve[:: max(1, len(curve) // 400)]
            marker = 'o' if len(shown) < 25 else None
            axis.plot(*zip(*shown, strict=True), color=colour, linewidth=1.4, marker=marker, markersize=3)
    axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axis.xaxis.set_major_formatter(EngFormatter(sep=''))  # 160k
    axis.set_xlabel('step', fontsize=9)
    axis.tick_params(labelsize=8)
    axis.grid(alpha=0.25)
    axis.spines[['top', 'right']].set_visible(False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format='svg', metadata=dict(Date=None))
    return _data_url('image/svg+xml', buffer.getvalue())


# -- pictures ----------------------------------------------------------------------------------------------------------


def _pictures(runs: Sequence[Run], limit: int, panels: bool) -> list[dict[str, Any]]:
    """What the runs have drawn, by name: the last picture of each run; first what all of them have."""
    names = [name for name in _union(run.pictures for run in runs) if name.startswith(_PANELS) == panels]
    names.sort(key=lambda name: -sum(name in run.pictures for run in runs))
    rows = []
    for name in names[:limit]:
        cells = []
        for run in runs:
            step, path = run.pictures.get(name, (None, None))
            cells.append(dict(step=step, url=path and _embedded(path)))
        rows.append(dict(name=name, cells=cells))
    return rows


def _embedded(path: Path, width: int = 1200) -> str:
    """A picture as a data URL, no wider than a page can use.

    Raises:
        ValueError: It cannot be read.
    """
    picture = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)
    if picture is None:
        raise ValueError(f'{path} cannot be read as an image')
    if picture.shape[1] > width:
        height = round(picture.shape[0] * width / picture.shape[1])
        picture = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    _, data = cv2.imencode('.webp', picture, [cv2.IMWRITE_WEBP_QUALITY, 85])
    return _data_url('image/webp', data.tobytes())


def _data_url(kind: str, data: bytes) -> str:
    return f'data:{kind};base64,{base64.b64encode(data).decode()}'


def write_report(path: str | os.PathLike, page: str) -> None:
    """Write the page; it appears under its name only when it is whole."""
    AtomicBackend().put_text(page, os.fspath(path))
