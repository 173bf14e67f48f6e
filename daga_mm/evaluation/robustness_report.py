"""What a robustness run leaves behind: figures as JSON, a table in Markdown, a heat map."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..io import AtomicBackend, write_figure
from .corruption_error import CORRUPTION_GROUPS, CORRUPTIONS, SEVERITIES, corruption_errors, mean_corruption_error

TITLES = {
    'clean': 'ImageNet, validation',
    'imagenet_c': 'ImageNet-C',
    'imagenet_a': 'ImageNet-A',
    'imagenet_r': 'ImageNet-R',
}
NOT_RUN = 'not run: the config has no data_root for it'


def summarise(
    measured: Mapping[str, Mapping[str, Any]], sets: Sequence[str], run: Mapping, fingerprints: Mapping[str, str]
) -> dict[str, Any]:
    """All figures of a run, in percent but for errors, which are rates in 0..1.

    Args:
        measured: ``correct`` and ``images`` of 'clean', 'imagenet_a', 'imagenet_r' and each
            'imagenet_c/{corruption}/{severity}'.
        sets: The sets that there are.
        run: Those of them that were measured.
        fingerprints: Of the weights.
    """

    def top1(name: str) -> dict[str, float]:
        entry = measured[name]
        return {'top1': 100 * entry['correct'] / entry['images'], 'images': entry['images']}

    results: dict[str, Any] = {'fingerprints': dict(fingerprints), 'clean': top1('clean')}
    for name in sets:
        if name not in run:
            results[name] = NOT_RUN
        elif name != 'imagenet_c':
            results[name] = top1(name)
        else:
            cells = {
                corruption: [measured[f'{name}/{corruption}/{severity}'] for severity in SEVERITIES]
                for corruption in CORRUPTIONS
            }
            errors = {
                corruption: [1 - cell['correct'] / cell['images'] for cell in row] for corruption, row in cells.items()
            }
            each = corruption_errors(errors)
            means = {corruption: 100 * (1 - sum(row) / len(row)) for corruption, row in errors.items()}
            results[name] = {
                'mce': mean_corruption_error(errors),
                'top1': sum(means.values()) / len(means),
                'images': sum(cell['images'] for row in cells.values() for cell in row),
                'corruptions': {
                    corruption: {'errors': errors[corruption], 'top1': means[corruption], 'ce': each[corruption]}
                    for corruption in CORRUPTIONS
                },
            }
    results['metrics'] = {
        f'{name}_{figure}': results[name][figure]
        for name in ('clean', *run)
        for figure in ('mce', 'top1')
        if figure in results[name]
    }
    return results


def write_report(results: Mapping[str, Any], folder: Path) -> None:
    """Write robustness.json, robustness.md and, of ImageNet-C, robustness.png into ``folder``."""
    AtomicBackend().put_text(json.dumps(results, indent=1), folder / 'robustness.json')
    AtomicBackend().put_text(markdown(results), folder / 'robustness.md')
    if not isinstance(results['imagenet_c'], str):
        draw_heat_map(results, folder / 'robustness.png')


def markdown(results: Mapping[str, Any]) -> str:
    """Tables of the figures, and whose they are."""
    lines = ['| set | top-1 in percent | mCE | images |', '| --- | --- | --- | --- |']
    for name, title in TITLES.items():
        found = results[name]
        if isinstance(found, str):
            lines.append(f'| {title} | {found} | | |')
        else:
            mce = f'{found["mce"]:.2f}' if 'mce' in found else ''
            lines.append(f'| {title} | {found["top1"]:.2f} | {mce} | {found["images"]:,} |')
    found = results['imagenet_c']
    if not isinstance(found, str):
        severities = [f'severity {severity}' for severity in SEVERITIES]
        lines += ['', 'Top-1 error on ImageNet-C in percent; CE: relative to AlexNet.', '']
        lines.append(f'| corruption | {" | ".join(severities)} | mean top-1 | CE |')
        lines.append('| --- ' * (len(severities) + 3) + '|')
        for corruption, row in found['corruptions'].items():
            errors = ' | '.join(f'{100 * error:.1f}' for error in row['errors'])
            lines.append(f'| {corruption.replace("_", " ")} | {errors} | {row["top1"]:.1f} | {row["ce"]:.1f} |')
    weights = ', '.join(f'{part} {value}' for part, value in results['fingerprints'].items())
    return '\n'.join([*lines, '', f'Fingerprints of the weights: {weights}.', ''])


def draw_heat_map(results: Mapping[str, Any], path: Path) -> None:
    """Error by corruption and severity, with the mean accuracy and the CE of each corruption beside it.

    The colours span 0 to 100 %, so that the maps of two models compare.
    """
    from matplotlib import colormaps
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine
    from matplotlib.patches import Rectangle

    found = results['imagenet_c']
    figure = Figure(figsize=(8, 7.4), dpi=150, layout=ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.12))
    axes = figure.subplots()
    colours = colormaps['YlOrRd']
    middle: dict[str, Any] = dict(ha='center', va='center_baseline', fontsize=11)
    side = len(SEVERITIES) + 0.2  # where the columns beside the map start
    top, ticks = 0.0, []
    for group, corruptions in CORRUPTION_GROUPS.items():
        for row, corruption in enumerate(corruptions):
            y = top + row
            figures = found['corruptions'][corruption]
            for x, error in enumerate(figures['errors']):
                axes.add_patch(Rectangle((x, y), 1, 1, facecolor=colours(0.9 * error), edgecolor='white', linewidth=2))
                ink = 'white' if error > 0.75 else '0.1'  # where the colours are dark
                axes.text(x + 0.5, y + 0.5, f'{100 * error:.1f}', color=ink, **middle)
            for column, value in enumerate((figures['top1'], figures['ce'])):
                axes.text(side + column + 0.5, y + 0.5, f'{value:.1f}', color='0.1', **middle)
            ticks.append(y + 0.5)
        axes.text(-2.1, top + len(corruptions) / 2, group, rotation=90, color='0.45', **{**middle, 'va': 'center'})
        top += len(corruptions) + 0.25
    axes.set(xlim=(0, side + 2), ylim=(top - 0.25, 0))
    axes.set_yticks(ticks, [corruption.replace('_', ' ') for corruption in CORRUPTIONS], fontsize=11)
    axes.set_xticks(
        [x + 0.5 for x in (*range(len(SEVERITIES)), side, side + 1)],
        [f'severity {SEVERITIES[0]}', *map(str, SEVERITIES[1:]), 'mean\ntop-1', 'CE'],
        fontsize=11,
    )
    axes.tick_params(length=0, top=True, labeltop=True, bottom=False, labelbottom=False)
    axes.spines[:].set_visible(False)
    figure.suptitle(f'ImageNet-C: top-1 error in percent, mCE {found["mce"]:.1f}', fontsize=14, fontweight='bold')
    figures = {title: results[name] for name, title in TITLES.items() if not isinstance(results[name], str)}
    summary = ' · '.join(f'{title} {values["top1"]:.1f}' for title, values in figures.items())
    figure.supxlabel(f'top-1 in percent: {summary}', color='0.35', fontsize=11)
    write_figure(figure, path)
