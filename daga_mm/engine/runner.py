"""mmengine's Runner, whose errors about files are for its user."""

from typing import Any

from mmengine.model import is_model_wrapper
from mmengine.runner import BaseLoop, TestLoop
from mmengine.runner import Runner as _Runner
from torch import nn
from torch.utils.data import DataLoader

from ..compat import local_file
from ..errors import RunError, as_run_error
from ..registry import RUNNERS
from .checked_pipeline import classes_of
from .checkpoint_fit import require_fit, require_resumable
from .dataset_checks import check_data, check_evaluation, reading
from .errors import run_errors
from .normalization import warn_of_normalization


@RUNNERS.register_module()
class Runner(_Runner):
    """mmengine's Runner. Where weights or data don't fit, it says which file, before it goes on with less.

    - A checkpoint to test or to resume has all of the model. One to train from has at least some of it.
    - Images, and labels of classes that don't exist, are named: see `check_pipelines`.
    - A data set has images, the classes of the model's heads, of its annotations and of the checkpoint that is tested;
      an evaluator can measure it: see `dataset_checks`.
    - What comes from outside, a full disk or a killed worker of a data loader, is told from a mistake of the program.
    - What ends one process ends all of them with its message.

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
            checkpoint = super().load_checkpoint(filename, *args, **kwargs)
            if isinstance(self._test_loop, TestLoop):  # probes may have other data than the training
                require_same_classes(self._test_loop.dataloader.dataset, checkpoint, filename)
            return checkpoint

    def load_or_resume(self) -> None:
        """mmengine's, with a warning of images that are normalised unlike those of the trunk's pretraining."""
        loads = not self._has_loaded
        super().load_or_resume()
        if loads:
            warn_of_normalization(self.model)

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
        """mmengine's, with data sets that fit the model and name a faulty file."""
        if isinstance(dataloader, dict) and not dataloader.get('num_workers'):
            dataloader = {**dataloader, 'persistent_workers': False}  # which PyTorch refuses where there are none
        with reading(dataloader) as files:
            loader = _Runner.build_dataloader(dataloader, seed, diff_rank_seed)
        check_data(loader, self.model, files)
        return loader

    def build_optim_wrapper(self, optim_wrapper: Any) -> Any:
        """mmengine's; a model with a method ``check_optim_wrapper`` may refuse it with a ValueError."""
        built = super().build_optim_wrapper(optim_wrapper)
        model: Any = self.model.module if is_model_wrapper(self.model) else self.model
        if hasattr(model, 'check_optim_wrapper'):
            with as_run_error(ValueError):
                model.check_optim_wrapper(built)
        return built

    def scale_lr(self, optim_wrapper: Any, auto_scale_lr: dict | None = None) -> None:
        """mmengine's, of the rate too that it logs as ``base_lr`` where groups have rates of their own."""
        logged = getattr(optim_wrapper, 'base_param_settings', None)
        before = optim_wrapper.param_groups[0]['lr'] if logged else 0
        super().scale_lr(optim_wrapper, auto_scale_lr)
        if logged and before:
            logged['lr'] *= optim_wrapper.param_groups[0]['lr'] / before

    def build_val_loop(self, loop: BaseLoop | dict) -> BaseLoop:
        """mmengine's, with a check that the evaluator fits the data."""
        built = super().build_val_loop(loop)
        check_evaluation(built)
        return built

    def build_test_loop(self, loop: BaseLoop | dict) -> BaseLoop:
        """mmengine's, with a check that the evaluator fits the data."""
        built = super().build_test_loop(loop)
        check_evaluation(built)
        return built

    def _init_model_weights(self) -> None:
        with as_run_error(OSError, ValueError):
            super()._init_model_weights()


def require_same_classes(dataset: Any, checkpoint: Any, path: str) -> None:
    """Refuse to test on folders that give classes other numbers than those of the training did.

    Raises:
        RunError: They do.
    """
    meta = checkpoint.get('meta') if isinstance(checkpoint, dict) else None
    trained = ((meta or {}).get('dataset_meta') or {}).get('classes')
    # Other data sets have classes by definition, keep their numbers, or have them in a file.
    if type(dataset).__name__ != 'CustomDataset' or dataset.ann_file or not dataset.with_label or not trained:
        return
    tested = classes_of(dataset)
    of_another_kind = len(trained) == len(tested) and not {*trained} & {*tested}  # words beside WordNet's numbers
    if tuple(trained) != tuple(tested) and not of_another_kind:
        other = sorted({*trained} ^ {*tested}) or ['their order']
        raise RunError(
            f'{path} was trained on other classes than those of {dataset.img_prefix}: what differs is '
            f'{", ".join(map(str, other[:5]))}'
        )
