"""mmengine's FlexibleRunner, for models in shards."""

from typing import Any

from mmengine.runner import FlexibleRunner, find_latest_checkpoint
from torch import nn
from torch.utils.data import DataLoader

from ..registry import RUNNERS
from .checkpoint_fit import require_resumable
from .dataset_checks import check_data
from .errors import RunError, as_run_error, run_errors
from .sharded_strategy import ShardedStrategy


@RUNNERS.register_module()
class ShardedRunner(FlexibleRunner):
    """Train under a `ShardedStrategy`, with the checks of `Runner`.

    It trains, and validates as it does. To test, a model is built in whole: tools/test.py.

    Raises:
        RunError: A file does not fit; the config's strategy is another one.
    """

    model: Any
    _resume: Any

    def train(self) -> nn.Module:
        """mmengine's."""
        strategy = self.strategy
        if not isinstance(strategy, ShardedStrategy):
            raise RunError(f'ShardedRunner trains under a daga_mm.ShardedStrategy, not a {type(strategy).__name__}')
        if isinstance(self._resume, str):
            self._resume, self._load_from = True, self._resume
        if self._resume and self._load_from is None:
            self._load_from = find_latest_checkpoint(self.work_dir)
        if self._load_from is not None:
            strategy.weights = self._load_from, bool(self._resume)
            if self._resume and '://' not in self._load_from:
                with as_run_error(OSError, ValueError):
                    require_resumable(self._load_from)
        self.model = strategy.build_model(self.model)
        with run_errors(self.work_dir):
            return super().train()

    def resume(self, filename: str, *args: Any, **kwargs: Any) -> None:
        """mmengine's, reading into the memory of the CPU: a checkpoint is of the whole model."""
        super().resume(filename, *args, **{'map_location': 'cpu', **kwargs})

    def val(self) -> dict:
        """Refused."""
        raise RunError('a model in shards is trained; to measure one, take strategy and runner_type out of the config')

    test = val

    def build_dataloader(  # type: ignore[override]  # static upstream; loops call it on a runner
        self, dataloader: DataLoader | dict, seed: int | None = None, diff_rank_seed: bool = False
    ) -> DataLoader:
        """mmengine's, with data sets that say which file is at fault, and of no more classes than the model's."""
        loader = FlexibleRunner.build_dataloader(dataloader, seed, diff_rank_seed)
        check_data(loader, self.model, {})
        return loader
