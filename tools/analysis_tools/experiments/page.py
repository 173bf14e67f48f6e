"""Tables and pictures of docs/evidence.md, of the results that are there."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

matplotlib.use('Agg')
import matplotlib.pyplot as plt

from daga_mm.engine import AtomicBackend, write_figure

from . import cifar, scenes
from .forms import FORMS
from .plan import FRESH, SEEDS, Cell
from .results import Results

COLOURS = dict(zip(cifar.METHODS, plt.get_cmap('tab10').colors, strict=False))
SCALE = {'detection': 100.0}  # mmdet gives fractions, and mIoU and accuracies are percent
Found = dict[str, dict[int, dict[str, Any]]]  # name of a cell without its seed, or of a variant -> seed -> result


def write_page(plan: list[Cell], results: Results, docs: Path) -> str:
    """Renew tables and pictures of ``docs/evidence.md``; the text between them stays.

    Returns:
        What was written, a line.
    """
    found = {
        part: _by_seed(part, plan, results) for part in ('guidance', 'guidance_dense', 'transfer', 'dense', 'inside')
    }
    measured = next((results.read(cell) for cell in plan if cell.part == 'price'), None)
    price = measured['result'] if measured else {}
    done = sum(results.read(cell) is not None for cell in plan)
    tables = {
        'state': state(done, len(plan)),
        'tuning': rates(plan, results),
        'guidance': controls(of_seeds(found['guidance'], SEEDS), 'accuracy'),
        'guidance_fresh': controls(of_seeds(found['guidance'], FRESH), 'accuracy'),
        'gates': gates(found['guidance']),
        'guidance_dense': controls(found['guidance_dense'], 'mIoU'),
        'transfer': transfer(found['transfer'], price),
        'severities': severities(found['transfer']),
        'dense': dense(found['dense']),
        'inside': inside(found, '', 'accuracy'),
        'inside_dense': inside(found, 'segmentation_', 'mIoU'),
    }
    pictures = {
        'guidance': (
            "own maps minus others', a dot per seed",
            draw_controls(found['guidance'], found['guidance_dense']),
        ),
        'transfer': ('accuracy over trained parameters and over time', draw_transfer(found['transfer'], price)),
        'dense': ("results minus the frozen trunk's, a dot per seed", draw_dense(found['dense'])),
        'convergence': ('accuracy over epochs and over seconds', draw_curves(found['transfer'], price)),
    }
    page = docs / 'evidence.md'
    text = page.read_text()
    for name, made in tables.items():
        text = _put(text, f'table: {name}', made)
    for name, (what, figure) in pictures.items():
        link = '*No results yet.*'
        if figure is not None:
            link = f'images/evidence_{name}.png'
            write_figure(figure, docs / link, dpi=110)
            plt.close(figure)
            link = f'![{what}]({link})'
        text = _put(text, f'picture: {name}', link)
    AtomicBackend().put_text(text, str(page))
    return f'{page}: {done} of {len(plan)} cells'


def _put(text: str, place: str, what: str) -> str:
    """The page with ``what`` in its place."""
    pattern = re.compile(rf'(<!-- {place} -->\n).*?(<!-- end -->)', re.DOTALL)
    if not pattern.search(text):
        raise ValueError(f'evidence.md has no place <!-- {place} --> … <!-- end -->')
    return pattern.sub(lambda match: f'{match[1]}\n{what}\n\n{match[2]}', text)


def _by_seed(part: str, plan: list[Cell], results: Results) -> Found:
    found: Found = {}
    for cell in plan:
        record = results.read(cell) if cell.part == part else None
        if record:
            name, _, seed = cell.name.rpartition('_')
            results_of = record['result'] if 'variants' in record['settings'] else {name: record['result']}
            for variant, result in results_of.items():
                found.setdefault(variant, {})[int(seed)] = result
    return found


# -- numbers -----------------------------------------------------------------------------------------------------------


def spread(values: Sequence[float], form: str = '{:.2f}') -> str:
    """Mean ± standard deviation of the sample; '–' of none, no deviation of one."""
    if not values:
        return '–'
    mean = form.format(np.mean(values))
    return f'{mean} ± {form.format(np.std(values, ddof=1))}' if len(values) > 1 else mean


def of_seeds(found: Found, some: Sequence[int]) -> Found:
    """The results of some seeds."""
    chosen = {name: {seed: seeds[seed] for seed in some if seed in seeds} for name, seeds in found.items()}
    return {name: seeds for name, seeds in chosen.items() if seeds}


def scores(seeds: dict[int, dict[str, Any]], key: str = 'score') -> list[float]:
    return [result[key] for _, result in sorted(seeds.items())]


def paired(one: dict[int, dict[str, Any]], other: dict[int, dict[str, Any]]) -> list[float]:
    """Differences of the scores of the seeds that both have."""
    return [one[seed]['score'] - other[seed]['score'] for seed in sorted(one.keys() & other.keys())]


def percent(name: str, value: float) -> float:
    """A score or a metric of a cell, as it is shown."""
    return SCALE.get(name.partition('_')[0], 1.0) * value


def interval(differences: Sequence[float]) -> str:
    """Mean and 95 % interval of paired differences, Student's t."""
    if len(differences) < 2:
        return '–'
    from scipy.stats import t

    half = t.ppf(0.975, len(differences) - 1) * np.std(differences, ddof=1) / len(differences) ** 0.5
    return f'{np.mean(differences):+.2f} ± {half:.2f}'


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown; a word in place of a table without rows."""
    if not rows:
        return '*No results yet.*'
    lines = [head, ['---'] * len(head), *rows]
    return '\n'.join(f'| {" | ".join(map(str, line))} |' for line in lines)


# -- tables ------------------------------------------------------------------------------------------------------------


def state(done: int, planned: int) -> str:
    """How much of the plan there is."""
    if done == planned:
        return f'All {planned} cells have been run.'
    return f'**Under way**: {done} of {planned} cells have been run; `--list` names those that are left.'


def rates(plan: list[Cell], results: Results) -> str:
    """Learning rates, and what each came to on the validation images; the chosen one is bold."""
    rows: dict[str, dict[float, float]] = {}
    for cell in plan:
        record = results.read(cell) if cell.part == 'tuning' else None
        if record:
            name = cell.name.rpartition('_')[0]
            rows.setdefault(name, {})[cell.settings['lr']] = percent(name, record['result']['score'])
    columns = sorted({lr for row in rows.values() for lr in row})

    def show(row: dict[float, float], lr: float) -> str:
        if lr not in row:
            return ''
        best = max((score, rate) for rate, score in row.items())[1]
        text = f'{row[lr]:.3f}' if row[lr] < 1 else f'{row[lr]:.2f}'
        return f'**{text}**' if lr == best else text

    head = ['', *(f'{lr:g}' for lr in columns)]
    return table(head, [[name.replace('_', ' '), *(show(row, lr) for lr in columns)] for name, row in rows.items()])


def controls(found: Found, unit: str) -> str:
    """Each form with its own maps, with others', and their paired differences; and against no gate at all."""
    rows = []
    for form, what in FORMS.items():
        real = found.get(f'{form}_real')
        if not real:
            continue
        shuffled, constant = found.get(f'{form}_shuffled', {}), found.get(f'{form}_constant', {})
        swapped = [seed['other_maps']['shuffled'] - seed['score'] for seed in real.values() if 'other_maps' in seed]
        rows.append(
            [
                f'`{form}`: {what}',
                f'{len(real)}',
                f'{next(iter(real.values()))["trained"]:,}',
                spread(scores(real)),
                spread(scores(shuffled)),
                spread(scores(constant)),
                interval(paired(real, shuffled)),
                interval(paired(real, found.get('none_real', {}))) if form != 'none' else '',
                *([spread(swapped)] if unit == 'accuracy' else []),
            ]
        )
    head = [
        'form',
        'seeds',
        'trained',
        f'{unit}: own maps',
        "others' maps",
        'constant maps',
        "own − others'",
        'own − no gate',
    ]
    return table(head + ["change by others' maps after training"] * (unit == 'accuracy'), rows)


def gates(found: Found) -> str:
    """How much gates differ between images and between patches, and the mixing weights."""
    rows = []
    for form in FORMS:
        seeds = found.get(f'{form}_real', {})
        layers = [layer for seed in seeds.values() for layer in seed['gates'].values()]
        if layers:
            columns = [[layer[key] for layer in layers] for key in ('mean', 'over_images', 'over_patches', 'mixing')]
            rows.append([f'`{form}`', *(f'{np.mean(column):.3f}' for column in columns)])
    return table(['form', 'mean gate', 'deviation over images', 'over patches', 'mixing weight'], rows)


def transfer(found: Found, prices: dict[str, dict[str, float]]) -> str:
    """The methods beside one another."""
    goal = target(found)
    rows = []
    for name, what in {'knn': 'k-NN (k = 20) on the class token', **cifar.METHODS}.items():
        seeds = found.get(name)
        if not seeds:
            continue
        price = prices.get(name, {})
        reached = [epochs_to(seed['curve'], goal) for seed in seeds.values()] if name != 'knn' and goal else []
        known = [epoch for epoch in reached if epoch]
        when = (
            spread(known, '{:.1f}') if known and len(known) == len(reached) else f'{len(known)} of {len(reached)} runs'
        )
        epoch = price.get('train_seconds')
        rows.append(
            [
                what,
                f'{next(iter(seeds.values()))["trained"]:,}',
                spread(scores(seeds)),
                spread([np.mean(list(seed['corrupted'].values())) for seed in seeds.values() if 'corrupted' in seed]),
                when if reached else '–',
                f'{np.mean(known) * epoch:.0f}' if epoch and known and len(known) == len(reached) else '–',
                f'{epoch:.1f}' if epoch else '–',
                f'{price["train_to_full"]:.2f}' if price else '–',
                f'{price["infer_to_full"]:.2f}' if price else '–',
                f'{np.mean(scores(seeds, "peak_mb")):.0f}' if name != 'knn' else '–',
            ]
        )
    head = ['method', 'trained', 'accuracy', 'corrupted', 'epochs to the goal', 'seconds to the goal', 'epoch, s']
    return table([*head, 'epoch, full = 1', 'inference, full = 1', 'memory, MiB'], rows)


def target(found: Found) -> float | None:
    """95 % of the final accuracy of full fine-tuning on the validation images."""
    full = found.get('full')
    return 0.95 * float(np.mean([seed['curve'][-1] for seed in full.values()])) if full else None


def epochs_to(curve: Sequence[float], goal: float) -> int | None:
    """The first epoch after which the curve is at the goal; None if none is."""
    return next((number for number, value in enumerate(curve, 1) if value >= goal), None)


def severities(found: Found) -> str:
    """Accuracy on corrupted images by severity."""
    rows = []
    for name, what in cifar.METHODS.items():
        seeds = [seed['corrupted'] for seed in found.get(name, {}).values() if 'corrupted' in seed]
        if seeds:
            by_level = [
                [np.mean([value for key, value in seed.items() if key.endswith(f' {level}')]) for seed in seeds]
                for level in range(1, 6)
            ]
            rows.append([what, *(spread(level, '{:.1f}') for level in by_level)])
    return table(['method', *(f'severity {level}' for level in range(1, 6))], rows)


def dense(found: Found) -> str:
    """The tasks on the scenes."""
    rows = []
    for task, (_, _, metrics) in scenes.TASKS.items():
        for method, what in scenes.METHODS.items():
            seeds = found.get(f'{task}_{method}')
            if seeds:
                form = '{:.3f}' if task == 'depth' else '{:.2f}'
                shown = [
                    f'{title} {spread([percent(task, seed["metrics"][title]) for seed in seeds.values()], form)}'
                    for title in metrics.values()
                ]
                against = paired(seeds, found.get(f'{task}_frozen', {})) if method != 'frozen' else []
                first = next(iter(seeds.values()))
                difference = ' '.join(form.replace(':', ':+').format(percent(task, value)) for value in against)
                rows.append(
                    [
                        f'{task}: {what}',
                        f'{first["trained"]:,}',
                        ' · '.join(shown),
                        difference,
                        f'{np.mean(scores(seeds, "peak_mb")):.0f}',
                    ]
                )
    return table(['', 'trained', 'result', 'first metric − frozen, by seed', 'memory, MiB'], rows)


def inside(found: dict[str, Found], prefix: str, unit: str) -> str:
    """Changes of DAGA against the default of the package, paired by seed.

    Args:
        found: Of all parts: some changes, and the default, are what others have run.
        prefix: Of the names of the cells.
        unit: Of the score.
    """
    if prefix:
        elsewhere = found['dense'].get('segmentation_daga', {})
        rows = {'the default': elsewhere, 'guidance frozen': found['guidance_dense'].get('channel_real', {})}
    else:
        elsewhere = found['transfer'].get('daga', {})
        rows = {
            'the default': elsewhere,
            'guidance frozen': found['guidance'].get('channel_real', {}),
            'layers 5': found['transfer'].get('daga_last', {}),
            'layers 012345': found['transfer'].get('daga_all', {}),
        }
    # Compared is what was computed on one device: the other parts' default with theirs, these cells' own with these.
    compared = [(name, seeds, elsewhere) for name, seeds in rows.items()]
    here = {
        name.removeprefix(prefix).replace('_', ' '): seeds
        for name, seeds in found['inside'].items()
        if name.startswith('segmentation_') == bool(prefix)
    }
    default = here.pop('default', elsewhere)
    compared += [(name, seeds, default) for name, seeds in here.items()]
    lines = []
    for name, seeds, base in compared:
        seeds = {seed: result for seed, result in seeds.items() if seed in base}
        if seeds:
            difference = ' '.join(f'{value:+.2f}' for value in paired(seeds, base)) if seeds != base else ''
            lines.append([name, f'{next(iter(seeds.values()))["trained"]:,}', spread(scores(seeds)), difference])
    return table(['change', 'trained', unit, 'difference, by seed'], lines)


# -- pictures ----------------------------------------------------------------------------------------------------------


def draw_controls(guidance: Found, guidance_dense: Found) -> Any:
    """What each form gains by its own maps over others', a dot per seed; None without results."""

    def gains(found: Found) -> dict[str, list[float]]:
        return {form: paired(found.get(f'{form}_real', {}), found.get(f'{form}_shuffled', {})) for form in FORMS}

    fresh = {f'{form}, fresh seeds': values for form, values in gains(of_seeds(guidance, FRESH)).items()}
    panels = {
        'classification, accuracy': gains(of_seeds(guidance, SEEDS)) | fresh,
        'segmentation, mIoU': gains(guidance_dense),
    }
    return draw_differences(panels, "own maps − other images' maps")


def draw_dense(found: Found) -> Any:
    """What each method gains over the frozen trunk in each task on the scenes, a dot per seed; None without results."""
    panels = {
        f'{task}, {next(iter(metrics.values()))}': {
            method: [percent(task, x) for x in paired(found[f'{task}_{method}'], found.get(f'{task}_frozen', {}))]
            for method in scenes.METHODS
            if method != 'frozen' and f'{task}_{method}' in found
        }
        for task, (_, _, metrics) in scenes.TASKS.items()
    }
    return draw_differences(panels, 'method − frozen trunk')


def draw_differences(panels: dict[str, dict[str, list[float]]], what: str) -> Any:
    """A panel for each task, in it a line for each of what is compared: dots of seeds, a bar at their mean.

    Args:
        panels: By title, by name of the line; what is empty is left out.
        what: Of which they are the differences.

    Returns:
        The figure, None if there is nothing to draw.
    """
    panels = {title: {name: values for name, values in rows.items() if values} for title, rows in panels.items()}
    panels = {title: rows for title, rows in panels.items() if rows}
    if not panels:
        return None
    figure, axes = plt.subplots(1, len(panels), figsize=(6.2 * min(len(panels), 2), 4.2), squeeze=False)
    for axis, (title, rows) in zip(axes[0], panels.items(), strict=True):
        for place, values in enumerate(rows.values()):
            axis.plot(values, [place] * len(values), 'o', color='#1f6fb4', alpha=0.5)
            axis.plot(np.mean(values), place, '|', color='#d1495b', markersize=18, markeredgewidth=3)
        axis.axvline(0, color='grey', linewidth=0.8)
        axis.set_yticks(range(len(rows)), rows)
        axis.margins(y=0.2)
        axis.locator_params(axis='x', nbins=6)
        axis.invert_yaxis()
        axis.set_xlabel(what)
        axis.set_title(title, fontsize=11)
        axis.grid(axis='x', alpha=0.3)
    figure.tight_layout()
    return figure


def draw_transfer(found: Found, prices: dict[str, dict[str, float]]) -> Any:
    """Accuracy over trained parameters and over the time of an epoch."""
    methods = [name for name in cifar.METHODS if name in found]
    if not methods:
        return None
    figure, axes = plt.subplots(1, 2, figsize=(12, 4.6), sharey=True)
    points: dict[Any, dict[str, tuple[float, float]]] = {axis: {} for axis in axes}
    for name in methods:
        values = scores(found[name])
        trained = next(iter(found[name].values()))['trained']
        places = [trained, prices.get(name, {}).get('train_to_full')]
        for axis, place in zip(axes, places, strict=True):
            if place is not None:
                deviation = np.std(values, ddof=1) if len(values) > 1 else 0
                axis.errorbar(place, np.mean(values), deviation, fmt='o', color=COLOURS[name], capsize=3)
                points[axis][name] = place, float(np.mean(values))
    axes[0].set_xscale('log')
    for axis in axes:
        axis.margins(x=0.12)  # room for names
        axis.autoscale_view()
        pixels = {name: axis.transData.transform(point) for name, point in points[axis].items()}
        for name, (x, y) in pixels.items():
            # A name stands to the right of its point, but where another point is.
            left = any(0 < other[0] - x < 60 and abs(other[1] - y) < 20 for other in pixels.values())
            style: dict[str, Any] = dict(xytext=(-5 if left else 5, 5), ha='right' if left else 'left')
            axis.annotate(name, points[axis][name], textcoords='offset points', fontsize=9, **style)
    axes[0].set_xlabel('trained parameters')
    axes[1].set_xlabel('time of a training epoch / full fine-tuning')
    axes[0].set_ylabel('accuracy, percent')
    for axis in axes:
        axis.grid(alpha=0.3)
    figure.tight_layout()
    return figure


def draw_curves(found: Found, prices: dict[str, dict[str, float]]) -> Any:
    """Accuracy on the validation images over epochs and over seconds."""
    methods = [name for name in cifar.METHODS if name in found]
    goal = target(found)
    if not methods or goal is None:
        return None
    figure, axes = plt.subplots(1, 2, figsize=(12, 4.6), sharey=True)
    for name in methods:
        curve = np.mean([seed['curve'] for seed in found[name].values()], axis=0)
        epochs = np.arange(1, len(curve) + 1)
        axes[0].plot(epochs, curve, color=COLOURS[name], label=name)
        if name in prices:
            axes[1].plot(epochs * prices[name]['train_seconds'], curve, color=COLOURS[name])
    for axis, label in zip(axes, ('epochs', 'seconds of training'), strict=True):
        axis.axhline(goal, color='grey', linestyle='--', linewidth=0.8)
        axis.set_xlabel(label)
        axis.grid(alpha=0.3)
    axes[0].set_ylabel('accuracy on validation images, percent')
    axes[1].legend(*axes[0].get_legend_handles_labels(), fontsize=9, loc='center left', bbox_to_anchor=(1.02, 0.5))
    figure.tight_layout()
    return figure
