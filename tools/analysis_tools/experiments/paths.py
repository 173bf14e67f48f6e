"""Where data are."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Paths:
    """Where things are: CIFAR-10 as folders, and a folder for what can be made again."""

    cifar: Path
    work: Path

    @property
    def scenes(self) -> Path:
        return self.work / 'scenes'

    @property
    def corrupted(self) -> Path:
        return self.work / 'corrupted.safetensors'

    def log(self, cell: str) -> Path:
        """What a cell printed."""
        return self.work / f'logs/{cell}.log'
