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
from .checked_pipeline import check_pipelines, classes_of
from .checkpoint_fit import require_fit, require_resumable
from .errors import run_errors


@RUNNERS.register_module()
class Runner(_Runner):
    """mmengine's Runner. Where weights or data don't fit, it says which file, before it goes on with less.

    - A checkpoint to test or to resume has all of the model. One to train from has at least some of it.
    - Images, and labels of classes that don't exist, are named: see `check_pipelines`.
    - A data set has images, no more classes than the model's head, and those of the checkpoint that is tested.
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
        if isinstance(dataloader, dict) and not dataloader.get('num_workers'):
            dataloader = {**dataloader, 'persistent_workers': False}  # which PyTorch refuses where there are none
        try:
            loader = _Runner.build_dataloader(dataloader, seed, diff_rank_seed)
        except ValueError as error:
            if 'need at least one array to concatenate' not in str(error):  # mmengine's, of a data set of nothing
                raise
            raise RunError(_nothing_in(dataloader)) from error
        return checked(loader, self.model)

    def scale_lr(self, optim_wrapper: Any, auto_scale_lr: dict | None = None) -> None:
        """mmengine's, of the rate too that it logs as ``base_lr`` where groups have rates of their own."""
        logged = getattr(optim_wrapper, 'base_param_settings', None)
        before = optim_wrapper.param_groups[0]['lr'] if logged else 0
        super().scale_lr(optim_wrapper, auto_scale_lr)
        if logged and before:
            logged['lr'] *= optim_wrapper.param_groups[0]['lr'] / before

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


def _nothing_in(dataloader: Any) -> str:
    """What to say of a data set that has found nothing."""
    dataset = dataloader['dataset']
    while 'dataset' in dataset:
        dataset = dataset['dataset']
    places = {key: dataset[key] for key in ('data_root', 'ann_file', 'data_prefix', 'img_suffix') if dataset.get(key)}
    return (
        f'{dataset["type"]} has found no image: ' + ', '.join(f'{key} {value}' for key, value in places.items()) + '. '
        'Are there files, of the suffix that it looks for (img_suffix, seg_map_suffix)? In annotations of boxes, are '
        "the categories those of metainfo.classes? Without that they have to be COCO's"
    )


def checked(loader: DataLoader, model: Any) -> DataLoader:
    """A data loader that says which file is at fault.

    Raises:
        RunError: Its data set has more classes than the model's head, or its annotations lack some of its classes.
    """
    model = model.module if is_model_wrapper(model) else model
    for dataset in check_pipelines(loader.dataset):
        if 'thing_classes' in (getattr(dataset, 'metainfo', None) or {}):
            continue  # panoptic: one head has some of the classes, another the rest
        count = len(classes_of(dataset))
        categories = getattr(dataset, 'cat_ids', None)
        if categories is not None and len(categories) != count:  # mmdet numbers the categories that it finds
            raise RunError(
                f'{dataset.ann_file} has {len(categories)} of the {count} classes of {type(dataset).__name__}: name '
                "its categories, in their order, in the data set's metainfo.classes, and set num_classes"
            )
        for name, module in model.named_modules():
            known = getattr(module, 'num_classes', None)
            if isinstance(known, int) and 'rpn' not in name and 0 < known < count:  # a trunk has 0
                raise RunError(
                    f'{type(dataset).__name__} has {count} classes, model.{name} {known}: set its num_classes, or the '
                    "data set's metainfo.classes"
                )
    return loader
