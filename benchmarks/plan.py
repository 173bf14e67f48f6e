"""What there is to run: every method (a file) on every data set (a file), for some seeds."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mmengine.config import Config
from mmengine.logging import MMLogger

HERE = Path(__file__).parent
RATES = (3e-3, 1e-2, 3e-2)  # tried for every method
TUNING_SHARE = 0.5  # of the epochs
ABOUT = ('seeds', 'datasets', 'tuned_as')  # what a method's file says of its place in the plan
SEEDS = 3


@dataclass(frozen=True)
class Cell:
    """One training run.

    Attributes:
        part: 'tuning', or the part of its data set.
        dataset: A file of ``datasets/``.
        method: A file of ``methods/``.
        seed: Of head, adapters, order and augmentation.
        rate: The learning rate that is tried; None in other parts than 'tuning'.
        core: Whether it belongs to the plan for a CPU.
    """

    part: str
    dataset: str
    method: str
    seed: int
    rate: float | None = None
    core: bool = True

    def __str__(self) -> str:
        return f'{self.dataset}/{self.method}/' + (f'{self.seed}' if self.rate is None else f'rate={self.rate:g}')


class Plan:
    """The methods, the data sets, and a cell for each pair and seed; those that choose learning rates come first.

    Args:
        folder: Holds ``methods/`` and ``datasets/``, configs of mmengine.
    """

    def __init__(self, folder: Path = HERE) -> None:
        MMLogger.get_current_instance().setLevel('WARNING')  # else a line for each environment variable in each config
        self.methods = {path.stem: Config.fromfile(path) for path in sorted(folder.glob('methods/*.py'))}
        self.datasets = {path.stem: Config.fromfile(path) for path in sorted(folder.glob('datasets/*.py'))}
        self.cells = sorted(self._cells(), key=lambda cell: (cell.part != 'tuning', not cell.core))
        self.backbone = next(iter(self.datasets.values())).model.backbone

    def _cells(self) -> Iterator[Cell]:
        for dataset, config in self.datasets.items():
            about = config.benchmark
            for method, options in self.methods.items():
                if dataset not in options.get('datasets', self.datasets):
                    continue
                tuned = about.get('rates_of') == dataset and 'tuned_as' not in options
                for rate in RATES if tuned else ():
                    yield Cell('tuning', dataset, method, 0, rate)
                seeds = min(options.get('seeds', 1), about.get('seeds', SEEDS))
                for seed in range(SEEDS):
                    core = seed < seeds and method in about.get('methods', self.methods)
                    yield Cell(about.part, dataset, method, seed, core=core)

    @property
    def trunk(self) -> str:
        """The file of the trunk's weights, without its folder and ending."""
        return Path(self.backbone.init_cfg.checkpoint).stem

    def tuning(self, cell: Cell) -> list[Cell]:
        """The cells whose results decide the learning rate of ``cell``; none if its config does."""
        source = None if cell.part == 'tuning' else self.datasets[cell.dataset].benchmark.get('rates_of')
        method = self.methods[cell.method].get('tuned_as', cell.method)
        return [c for c in self.cells if c.part == 'tuning' and (c.dataset, c.method) == (source, method)]

    def sign(self, dataset: str) -> int:
        """1 where a higher score is better, -1 where a lower one is."""
        return -1 if self.datasets[dataset].benchmark.get('lower_is_better') else 1

    def config(self, cell: Cell, rate: float, work_dir: Path) -> Config:
        """The config of a run: the data set's, changed by the method's."""
        config = Config(self.datasets[cell.dataset].to_dict())
        config.merge_from_dict({k: v for k, v in self.methods[cell.method].to_dict().items() if k not in ABOUT})
        config.optim_wrapper.optimizer.lr = rate
        if cell.part == 'tuning':
            config.val_dataloader.dataset.update(config.tuning)
            shorten(config, TUNING_SHARE)
        last = dict(type='daga_mm.CheckpointHook', interval=config.train_cfg.max_epochs, save_optimizer=False)
        hooks = dict(logger=dict(type='LoggerHook', interval=10), checkpoint=last)
        config.merge_from_dict(dict(default_hooks=hooks, randomness=dict(seed=cell.seed), work_dir=str(work_dir)))
        return config


def shorten(config: Config, share: float) -> None:
    """Train for a share of the epochs, on the same schedule."""
    config.train_cfg.max_epochs = config.train_cfg.val_interval = round(config.train_cfg.max_epochs * share)
    for scheduler in config.param_scheduler:
        scheduler.begin *= share
        scheduler.end *= share
