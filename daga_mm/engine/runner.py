"""mmengine's Runner, whose errors about files are for its user."""

from typing import Any

from mmengine.model import is_model_wrapper
from mmengine.runner import BaseLoop
from mmengine.runner import Runner as _Runner
from torch import nn
from torch.utils.data import DataLoader

from ..compat import local_file
from .checked_pipeline import check_pipelines, classes_of
from .checkpoint_fit import require_fit, require_resumable
from .errors import RunError, as_run_error, run_errors, setting_errors


class Runner(_Runner):
    """mmengine's Runner. Where weights or data don't fit, it says which file, before it goes on with less.

    - A checkpoint to test or to resume has all of the model. One to train from has at least some of it.
    - Images, and labels of classes that don't exist, are named: see `check_pipelines`.
    - A data set has no more classes than the model's head.
    - Settings that nothing knows are named, where model, optimiser, loops and hooks are built.
    - What comes from outside, a full disk or a killed worker of a data loader, is told from a mistake of the program.
    - What ends one process ends all of them with the same words.

    Raises:
        RunError: It is otherwise.
    """

    def train(self) -> nn.Module:
        """mmengine's."""
        with run_errors(self.work_dir):
            return super().train()

    def val(self) -> dict:
        """mmengine's."""
        with run_errors(self.work_dir):
            return super().val()

    def test(self) -> dict:
        """mmengine's."""
        with run_errors(self.work_dir):
            return super().test()

    def load_checkpoint(self, filename: str, *args: Any, **kwargs: Any) -> dict:
        """mmengine's, of a file that fits."""
        starts_training = isinstance(self._train_loop, BaseLoop) and not self._resume  # train() has built it
        with as_run_error(OSError, ValueError):
            path = local_file(filename)
            if path is not None:
                require_fit(self.model, str(path), whole=not starts_training)
            return super().load_checkpoint(filename, *args, **kwargs)

    def resume(self, filename: str, *args: Any, **kwargs: Any) -> None:
        """mmengine's, of a file with the state of a training."""
        with as_run_error(OSError, ValueError):
            path = local_file(filename)
            if path is not None:
                require_resumable(str(path))
        super().resume(filename, *args, **kwargs)

    def build_dataloader(  # type: ignore[override]  # static upstream; loops call it on a runner
        self, dataloader: DataLoader | dict, seed: int | None = None, diff_rank_seed: bool = False
    ) -> DataLoader:
        """mmengine's, with data sets that say which file is at fault, and of no more classes than the model's."""
        return checked(_Runner.build_dataloader(dataloader, seed, diff_rank_seed), self.model)

    def build_model(self, model: nn.Module | dict) -> nn.Module:
        """mmengine's."""
        with setting_errors():
            return super().build_model(model)

    def build_optim_wrapper(self, optim_wrapper: Any) -> Any:
        """mmengine's."""
        with setting_errors():
            return super().build_optim_wrapper(optim_wrapper)

    def build_param_scheduler(self, scheduler: Any) -> Any:
        """mmengine's."""
        with setting_errors():
            return super().build_param_scheduler(scheduler)

    def build_train_loop(self, loop: BaseLoop | dict) -> BaseLoop:
        """mmengine's."""
        with setting_errors():
            return super().build_train_loop(loop)

    def build_val_loop(self, loop: BaseLoop | dict) -> BaseLoop:
        """mmengine's."""
        with setting_errors():
            return super().build_val_loop(loop)

    def build_test_loop(self, loop: BaseLoop | dict) -> BaseLoop:
        """mmengine's."""
        with setting_errors():
            return super().build_test_loop(loop)

    def register_hooks(self, *args: Any, **kwargs: Any) -> None:
        """mmengine's."""
        with setting_errors():
            super().register_hooks(*args, **kwargs)

    def _init_model_weights(self) -> None:
        with as_run_error(OSError, ValueError):
            super()._init_model_weights()


def checked(loader: DataLoader, model: Any) -> DataLoader:
    """A data loader that says which file is at fault.

    Raises:
        RunError: Its data set has more classes than the model's head.
    """
    model = model.module if is_model_wrapper(model) else model
    for dataset in check_pipelines(loader.dataset):
        if 'thing_classes' in (getattr(dataset, 'metainfo', None) or {}):
            continue  # panoptic: one head has some of the classes, another the rest
        count = len(classes_of(dataset))
        for name, module in model.named_modules():
            known = getattr(module, 'num_classes', None)
            if isinstance(known, int) and 'rpn' not in name and 0 < known < count:  # a trunk has 0
                raise RunError(
                    f'{type(dataset).__name__} has {count} classes, model.{name} {known}: set its num_classes, or the '
                    "data set's metainfo.classes"
                )
    return loader
