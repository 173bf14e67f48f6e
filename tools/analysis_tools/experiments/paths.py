"""Where data are, and where runs compute."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Paths:
    """Where things are: CIFAR-10 as folders, a folder for what can be made again, and the device that computes."""

    cifar: Path
    work: Path
    device: str = 'cpu'

    @property
    def scenes(self) -> Path:
        return self.work / 'scenes'

    @property
    def corrupted(self) -> Path:
        return self.work / 'corrupted.safetensors'

    def log(self, cell: str) -> Path:
        """What a cell printed."""
        return self.work / f'logs/{cell}.log'
