"""A probe of a backbone's features as a test loop: extract once, measure in the first process, log like any test."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from mmengine.runner import BaseLoop, Runner
from torch import Tensor
from torch.utils.data import DataLoader

from ..backbones import unwrap
from ..datasets import classes_of
from ..errors import RunError, as_run_error
from .feature_bank import FeatureBank, describe
from .ranks import on_rank_zero
from .weights import probed_backbone, refuse_fresh_adapters


class ProbeLoop(BaseLoop):
    """A test loop that fits something to the features of a training set and measures it on those of a test set.

    ``test_cfg=dict(type='daga_mm.KNNLoop', train_dataloader=dict(…), num_classes=…)`` with ``test_evaluator=[]``, since
    the loop measures by itself, and a model whose ``backbone`` is a DAGAViT with out_type 'cls_avg'. Without a
    checkpoint its weights come from init_cfg, which is right for the frozen trunk and refused for DAGA.

    Args:
        runner: The runner.
        dataloader: Of the test images.
        evaluator: Empty.
        train_dataloader: Config of the data loader of the training images. Its pipeline is that of a test: what is
            drawn at random in it would be drawn once, and kept.
        num_classes: Of the data.
        features: 'cls_token', the class token (D,), or 'cls_avg', with the mean patch behind it (2D,). None: what
            the protocol reads. A DAGA at the last block changes patches only, so the class token does not show it.
        cache_dir: The folder of feature banks, which all probes share.

    Raises:
        RunError: The data has more classes than ``num_classes``.
        ValueError: An evaluator; labels beyond num_classes; a model or weights that can't be probed.
    """

    default_features: Literal['cls_token', 'cls_avg']
    prefix: str

    def __init__(
        self,
        runner: Runner,
        dataloader: DataLoader | dict,
        evaluator: Sequence,
        train_dataloader: dict,
        num_classes: int,
        features: Literal['cls_token', 'cls_avg'] | None = None,
        cache_dir: str = 'work_dirs/features',
    ) -> None:
        refuse_evaluator(evaluator, type(self))
        if not isinstance(dataloader, Mapping):
            raise ValueError(
                f'{type(self).__name__} needs test_dataloader as a config: it is part of what a bank is of'
            )
        self.features = features or self.default_features
        if self.features not in ('cls_token', 'cls_avg'):
            raise ValueError(f"features is 'cls_token' or 'cls_avg', not {features!r}")
        super().__init__(runner, dataloader)
        self.train_dataloader = runner.build_dataloader(train_dataloader, seed=runner.seed)
        for split, loader in (('training', self.train_dataloader), ('test', self.dataloader)):
            found = len(classes_of(loader.dataset))
            if found > num_classes:  # before features are extracted; see _measure for data without names of classes
                raise RunError(
                    f'the {split} images have {found} classes, but num_classes of {type(self).__name__} is '
                    f'{num_classes}: set it to what the data has'
                )
        self.dataset_cfgs = {'train': train_dataloader['dataset'], 'test': dataloader['dataset']}
        self.num_classes = num_classes
        self.cache_dir = cache_dir

    @as_run_error(FileNotFoundError, ValueError)
    def run(self) -> dict[str, float]:
        """Extract what is not in the cache yet, measure, and hand the metrics (accuracies in percent) to the hooks.

        Raises:
            RunError: Features, labels or weights are not fit to be probed.
        """
        self.runner.call_hook('before_test')
        self.runner.call_hook('before_test_epoch')
        backbone = probed_backbone(self.runner.model)
        if backbone.trunk_id is None:
            backbone.init_weights()
        refuse_fresh_adapters(backbone)
        train_bank = self._bank('train', self.train_dataloader)
        test_bank = self._bank('test', self.dataloader)
        channels = backbone.embed_dims if self.features == 'cls_token' else None
        measured = on_rank_zero(lambda: self._measure(train_bank, test_bank, channels))
        metrics = {f'{self.prefix}/{name}': value for name, value in measured.items()}
        self.runner.call_hook('after_test_epoch', metrics=metrics)
        self.runner.call_hook('after_test')
        return metrics

    @abstractmethod
    def measure(
        self, train_feats: Tensor, train_labels: Tensor, test_feats: Tensor, test_labels: Tensor
    ) -> dict[str, float]:
        """Fit to the training features (N, D), measure on the test features (M, D)."""

    def _bank(self, split: str, dataloader: DataLoader) -> FeatureBank:
        config: Any = self.runner.cfg
        backbone = probed_backbone(self.runner.model)
        dataset = dataloader.dataset
        preprocessor = config.model.get('data_preprocessor') or config.get('data_preprocessor')
        bank = on_rank_zero(
            lambda: FeatureBank(
                self.cache_dir,
                f'{split}-{len(dataset)}',  # type: ignore[arg-type]
                describe(backbone, config.model.backbone, preprocessor, dataset, self.dataset_cfgs[split]),
            )
        )
        if on_rank_zero(bank.path.is_file):
            self.runner.logger.info(f'the features of the {split} images are those of {bank.path}')
        else:
            bank.extract(self.runner.model, dataloader)
        return bank

    def _measure(self, train_bank: FeatureBank, test_bank: FeatureBank, channels: int | None) -> dict[str, float]:
        (train_feats, train_labels), (test_feats, test_labels) = train_bank.load(), test_bank.load()
        for split, labels in (('training', train_labels), ('test', test_labels)):
            found = int(labels.max()) + 1
            if found > self.num_classes:
                raise ValueError(
                    f'the {split} images have labels up to {found - 1}, which makes {found} classes, but '
                    f'num_classes of {type(self).__name__} is {self.num_classes}: set it to what the data has'
                )
        return self.measure(train_feats[:, :channels], train_labels, test_feats[:, :channels], test_labels)

    @property
    def device(self) -> torch.device:
        """Where the model is, and where to compute."""
        return next(unwrap(self.runner.model).parameters()).device


def refuse_evaluator(evaluator: Any, loop: type) -> None:
    """Refuse any evaluator but the empty one, which the Runner asks for: these loops measure by themselves.

    Raises:
        ValueError: There is an evaluator.
    """
    if evaluator != []:
        raise ValueError(f'{loop.__name__} measures by itself: test_evaluator=[], not {evaluator}')
