"""The Runner of a training or a test: it checks weights, data and settings before it uses them."""

from typing import Any

from mmengine.runner import BaseLoop, TestLoop
from mmengine.runner import Runner as _Runner
from torch import nn
from torch.utils.data import DataLoader

from ..backbones import unwrap
from ..datasets import check_data, check_evaluation, classes_of, reading, require_same_classes
from ..errors import as_run_error
from ..io import local_file
from ..registry import RUNNERS
from .checkpoint_fit import require_fit, require_resumable
from .normalization import warn_of_normalization
from .run_errors import run_errors


@RUNNERS.register_module()
class Runner(_Runner):
    """A Runner that refuses weights and data that do not fit, and names the file, instead of continuing silently.

    - A checkpoint to test or to resume must hold the whole model, one to train from a part of it.
    - Unreadable images and labels of classes that do not exist are named: see `check_pipelines`.
    - A data set must have images and the classes of the model's heads, of its annotations and of the tested checkpoint.
      The evaluator must be able to measure it: see `daga_mm.datasets.checks`.
    - A full disk and a killed worker of a data loader are reported as such, not as errors of the program.
    - An error in one process ends all processes with its message.

    Raises:
        RunError: Any check fails.
    """

    def train(self) -> nn.Module:
        """Train."""
        with run_errors(self.work_dir):
            return super().train()

    def val(self) -> dict:
        """Validate."""
        with run_errors(self.work_dir):
            return super().val()

    def test(self) -> dict:
        """Test."""
        with run_errors(self.work_dir):
            return super().test()

    def load_checkpoint(self, filename: str, *args: Any, **kwargs: Any) -> dict:
        """Load a checkpoint that fits the model."""
        starts_training = isinstance(self._train_loop, BaseLoop) and not self._resume  # train() has built it
        with as_run_error(OSError, ValueError):
            path = local_file(filename)
            if path is not None:
                require_fit(self.model, str(path), whole=not starts_training)
            checkpoint = super().load_checkpoint(filename, *args, **kwargs)
            if isinstance(self._test_loop, TestLoop):  # probes may have other data than the training
                meta = (checkpoint.get('meta') if isinstance(checkpoint, dict) else None) or {}
                trained = (meta.get('dataset_meta') or {}).get('classes') or ()
                require_same_classes(self._test_loop.dataloader.dataset, trained, filename)
            return checkpoint

    def load_or_resume(self) -> None:
        """Load or resume, and warn of images that are normalised unlike those of the trunk's pretraining."""
        loads = not self._has_loaded
        super().load_or_resume()
        if loads:
            warn_of_normalization(self.model)

    def resume(self, filename: str, *args: Any, **kwargs: Any) -> None:
        """Resume from a checkpoint that has a training state."""
        with as_run_error(OSError, ValueError):
            path = local_file(filename)
            if path is not None:
                require_resumable(str(path))
        super().resume(filename, *args, **kwargs)

    def build_dataloader(  # type: ignore[override]  # static upstream; loops call it on a runner
        self, dataloader: DataLoader | dict, seed: int | None = None, diff_rank_seed: bool = False
    ) -> DataLoader:
        """Build a data loader whose data sets fit the model and name a faulty file."""
        if isinstance(dataloader, dict) and not dataloader.get('num_workers'):
            dataloader = {**dataloader, 'persistent_workers': False}  # which PyTorch refuses where there are none
        with reading(dataloader) as files:
            loader = _Runner.build_dataloader(dataloader, seed, diff_rank_seed)
        check_data(loader, self.model, files)
        return loader

    def build_optim_wrapper(self, optim_wrapper: Any) -> Any:
        """Build the optimiser; a model with a method ``check_optim_wrapper`` may refuse it with a ValueError."""
        built = super().build_optim_wrapper(optim_wrapper)
        model: Any = unwrap(self.model)
        if hasattr(model, 'check_optim_wrapper'):
            with as_run_error(ValueError):
                model.check_optim_wrapper(built)
        return built

    def scale_lr(self, optim_wrapper: Any, auto_scale_lr: dict | None = None) -> None:
        """Scale the learning rates, and the ``base_lr`` that is logged where groups have rates of their own."""
        logged = getattr(optim_wrapper, 'base_param_settings', None)
        before = optim_wrapper.param_groups[0]['lr'] if logged else 0
        super().scale_lr(optim_wrapper, auto_scale_lr)
        if logged and before:
            logged['lr'] *= optim_wrapper.param_groups[0]['lr'] / before

    def build_val_loop(self, loop: BaseLoop | dict) -> BaseLoop:
        """Build the validation loop and check that the evaluator fits the data."""
        built = super().build_val_loop(loop)
        check_evaluation(built)
        if isinstance(self._train_loop, BaseLoop):  # train() has built it
            _require_classes_of(self._train_loop.dataloader, built)
        return built

    def build_test_loop(self, loop: BaseLoop | dict) -> BaseLoop:
        """Build the test loop and check that the evaluator fits the data."""
        built = super().build_test_loop(loop)
        check_evaluation(built)
        if hasattr(built, 'train_dataloader'):  # a probe
            _require_classes_of(built.train_dataloader, built)
        return built

    def _init_model_weights(self) -> None:
        with as_run_error(OSError, ValueError):
            super()._init_model_weights()


def _require_classes_of(trained: DataLoader, loop: BaseLoop) -> None:
    """Refuse to measure on folders that number the classes in another way than those of the training images."""
    require_same_classes(loop.dataloader.dataset, classes_of(trained.dataset), 'the model')
