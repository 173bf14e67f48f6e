"""Results on disk: a small JSON file per cell."""

import json
from pathlib import Path
from typing import Any

import torch

from daga_mm.engine import AtomicBackend

from .plan import Cell


class Results:
    """The results of a plan.

    Args:
        plan: All cells.
        folder: Where the files are, ``folder/PART/NAME.json``.
    """

    def __init__(self, plan: list[Cell], folder: Path) -> None:
        self.folder = folder
        self._tuning: dict[str, list[Cell]] = {}
        for cell in plan:
            if cell.part == 'tuning':
                self._tuning.setdefault(cell.name.rpartition('_')[0], []).append(cell)

    def before(self, cell: Cell) -> list[Cell]:
        """The cells whose results this one needs: those of which it takes the learning rate."""
        return self._tuning[cell.tuned] if cell.tuned else []

    def settings(self, cell: Cell) -> dict[str, Any] | None:
        """With the tuned learning rate; None as long as a cell before it has no result."""
        if any(self.read(other) is None for other in self.before(cell)):
            return None
        if cell.tuned is None:
            return cell.settings
        rates = [(self.read(other)['result']['score'], other.settings['lr']) for other in self._tuning[cell.tuned]]
        return {**cell.settings, 'lr': max(rates)[1]}

    def read(self, cell: Cell) -> dict[str, Any] | None:
        """What is known of a cell; None if nothing, or nothing with these settings."""
        file = self._file(cell)
        if not file.is_file():
            return None
        found = json.loads(file.read_text())
        settings = self.settings(cell)
        return found if settings is not None and found['settings'] == json.loads(json.dumps(settings)) else None

    def write(
        self, cell: Cell, settings: dict[str, Any], result: dict[str, Any], seconds: float, device: str = 'cpu'
    ) -> None:
        """Put a result down, with what it was made by."""
        found = dict(
            settings=settings, result=result, seconds=round(seconds, 1), device=device, torch=torch.__version__
        )
        AtomicBackend().put_text(json.dumps(found, indent=1) + '\n', str(self._file(cell)))

    def _file(self, cell: Cell) -> Path:
        return self.folder / f'{cell.key}.json'
