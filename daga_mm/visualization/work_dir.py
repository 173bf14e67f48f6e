"""Read the work dir of a run."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from statistics import median
from typing import Any

from mmengine.config import Config

Curve = list[tuple[int, float]]  # step, value
_NAMELESS = 'val_img'  # what mmdet calls whichever picture it draws
_NOT_METRICS = ('step', 'time', 'data_time', 'epoch', 'iter', 'memory', 'trunk', 'adapters')


@dataclass
class Run:
    """A run.

    Attributes:
        name: The work dir's.
        config: The config that it ran with.
        training: By name, the curves of its training: 'loss', 'lr', 'time' (seconds an iteration), 'memory' (MiB).
        metrics: By name, the curves of its validations.
        adapters: By adapter and quantity, then by block, the curves of `AttentionVisHook`:
            ``adapters['daga/mixing']['11']``.
        tested: By name, what a test measured last, in the same work dir.
        fingerprints: Those of 'trunk' and 'adapters', at the last validation.
        pictures: By name, the last picture in ``vis_data/vis_image`` and its step. mmdet gives all of them one name;
            those of the last validation are told apart by their step, one image in all runs of one schedule.
    """

    name: str
    config: Config
    training: dict[str, Curve]
    metrics: dict[str, Curve]
    adapters: dict[str, dict[str, Curve]]
    tested: dict[str, float]
    fingerprints: dict[str, str]
    pictures: dict[str, tuple[int, Path]]

    @property
    def method(self) -> str:
        """The adapters' names, 'frozen' or 'full fine-tuning'; the backbone's type if it is no DAGAViT."""
        backbone = self.config.model.backbone
        if not backbone.type.endswith('DAGAViT'):
            return backbone.type
        adapters = backbone.get('adapter', 'daga')
        if not adapters:
            return 'frozen' if backbone.get('frozen', True) else 'full fine-tuning'
        names = [
            one if isinstance(one, str) else one['type']
            for one in ([adapters] if isinstance(adapters, str | dict) else adapters)
        ]
        return ' + '.join(name.lower() for name in names)

    @property
    def seconds(self) -> float | None:
        """Median time of an iteration, seconds."""
        return median(value for _, value in self.training['time']) if self.training.get('time') else None

    @property
    def memory(self) -> float | None:
        """Peak memory on the GPU, MiB."""
        return max(value for _, value in self.training['memory']) if self.training.get('memory') else None


def read_run(folder: str | Path) -> Run:
    """Read a work dir; where a run was resumed, its parts are put together.

    Raises:
        FileNotFoundError: No such folder, or no run in it.
        ValueError: A log in it is broken.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f'no work dir {folder}')
    parts = sorted(path.parent.parent for path in folder.glob('*/vis_data/scalars.json'))
    # Of the trainings: a test in the same work dir has settings of its own.
    configs = [path for part in parts if (path := part / 'vis_data/config.py').is_file()] or sorted(folder.glob('*.py'))
    if not parts or not configs:
        raise FileNotFoundError(
            f'no run in {folder}: a work dir of a training has a config and TIMESTAMP/vis_data/scalars.json'
        )
    training: dict[str, Curve] = {}
    metrics: dict[str, Curve] = {}
    adapters: dict[str, dict[str, Curve]] = {}
    fingerprints: dict[str, str] = {}
    pictures: dict[str, tuple[int, Path]] = {}
    for part in parts:
        lines = _lines(part / 'vis_data/scalars.json')
        _forget(training, metrics, adapters, lines)
        trained = validated = 0  # the last step that was logged; the same at the last validation
        for line in lines:
            if 'trunk' in line:
                fingerprints = {key: line[key] for key in ('trunk', 'adapters') if key in line}
            elif any(key.startswith('adapters/') for key in line):
                for key, value in line.items():
                    if key.startswith('adapters/'):
                        quantity, _, block = key.removeprefix('adapters/').rpartition('/')
                        adapters.setdefault(quantity, {}).setdefault(block, []).append((line['step'], value))
            elif 'loss' in line or 'lr' in line:
                trained = line['step']
                if 'base_lr' in line:  # that of the config; 'lr' is that of the first group, which may have its own
                    line['lr'] = line['base_lr']
                for key in ('loss', 'lr', 'time', 'memory'):
                    if key in line:
                        training.setdefault(key, []).append((line['step'], line[key]))
            else:
                validated = trained
                for key, value in _numbers(line).items():
                    metrics.setdefault(key, []).append((line['step'], value))
        drawn = [
            (found[1], int(found[2]), path)
            for path in sorted(part.glob('vis_data/vis_image/*'))
            if (found := re.fullmatch(r'(.*)_(\d+)', path.stem))
        ]
        nameless = {
            f'{name}, step {step}': (step, path)
            for name, step, path in sorted(drawn)
            if name == _NAMELESS and step >= validated
        }
        if nameless:
            pictures = {name: picture for name, picture in pictures.items() if not name.startswith(_NAMELESS + ',')}
            pictures |= nameless
        # Those of a later part are newer, whatever their step: it may have begun anew.
        pictures |= {name: (step, path) for name, step, path in sorted(drawn, key=itemgetter(1)) if name != _NAMELESS}
    tested: dict[str, float] = {}
    for path in sorted(folder.glob('*/*.json')):
        if path.stem == path.parent.name and (lines := _lines(path)):
            tested = _numbers(lines[-1])
    config = Config.fromfile(configs[-1], import_custom_modules=False)
    return Run(folder.resolve().name, config, training, metrics, adapters, tested, fingerprints, pictures)


def _lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a file, one after the other; a last line that was cut off is left out."""
    lines = path.read_text().splitlines()
    found = []
    for number, line in enumerate(lines, start=1):
        try:
            found.append(json.loads(line))
        except json.JSONDecodeError as error:
            if number < len(lines):
                raise ValueError(f'{path}, line {number}: {error}') from None
    return found


def _forget(training: dict, metrics: dict, adapters: dict, lines: list[dict[str, Any]]) -> None:
    """Leave out what a resumed run did again."""
    starts = [line['step'] for line in lines if 'loss' in line or 'lr' in line]
    checks = [line['step'] for line in lines if 'step' in line and _numbers(line) and 'loss' not in line]
    for curves, first in (
        *((curves, min(starts)) for curves in (training, *adapters.values()) if starts),
        *((curves, min(checks)) for curves in (metrics,) if checks),
    ):
        for name, curve in curves.items():
            curves[name] = [point for point in curve if point[0] < first]


def _numbers(line: Mapping[str, Any]) -> dict[str, float]:
    return {
        key: value
        for key, value in line.items()
        if isinstance(value, int | float) and key not in _NOT_METRICS and not key.startswith('adapters/')
    }


def differences(runs: list[Run]) -> dict[str, list[Any]]:
    """The settings in which the runs differ, by dotted name: a value per run, None where it has none."""
    flat = [dict(_flat(run.config.to_dict())) for run in runs]
    names = sorted({name for settings in flat for name in settings})
    found = {name: [settings.get(name) for settings in flat] for name in names if not _own(name)}
    return {name: values for name, values in found.items() if any(value != values[0] for value in values)}


def _own(name: str) -> bool:
    """A run's own place and name, in which it differs from every other."""
    return name in ('work_dir', 'log_dir', 'experiment_name', 'visualizer.name')


def _flat(settings: Any, prefix: str = '') -> Any:
    if isinstance(settings, dict) and settings:
        for key, value in settings.items():
            yield from _flat(value, f'{prefix}.{key}' if prefix else str(key))
    elif isinstance(settings, list | tuple) and any(isinstance(value, dict) for value in settings):
        for number, value in enumerate(settings):
            yield from _flat(value, f'{prefix}.{number}')
    else:
        # A tuple comes back from a file as it went in; from the command line it may be a list.
        yield prefix, str(list(settings) if isinstance(settings, tuple) else settings)
