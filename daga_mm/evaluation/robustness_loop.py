"""One checkpoint on ImageNet-C, ImageNet-A and ImageNet-R in one run."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import all_gather_object
from mmengine.runner import BaseLoop, Runner
from torch.utils.data import DataLoader

from ..backbones import DAGAViT, unwrap
from ..backbones.checkpoints import fingerprint
from ..datasets import wnids
from ..engine.provenance_hook import fingerprints
from ..errors import as_run_error
from ..io import AtomicBackend
from ..registry import LOOPS
from .corruption_error import CORRUPTION_GROUPS, SEVERITIES
from .probe_loop import refuse_evaluator
from .progress import Progress
from .ranks import on_rank_zero
from .robustness_report import summarise, write_report
from .weights import refuse_fresh_adapters

SETS = ('imagenet_c', 'imagenet_a', 'imagenet_r')


@LOOPS.register_module()
class RobustnessLoop(BaseLoop):
    """Top-1 of a classifier on ImageNet-C's 15 corruptions × 5 severities, ImageNet-A and ImageNet-R.

    The model's ``mode='tensor'`` gives the logits of ImageNet's 1000 classes; for ImageNet-A and -R those of the 200
    classes of the set compete. ``test_dataloader``'s own images, which are ImageNet's validation set, are measured too;
    its batch size and workers serve all. What is missing is named before anything is measured. Each finished folder is
    noted in ``work_dir/robustness`` under the weights that it was measured with, so that a run that broke off goes on.

    The run's log folder gets robustness.json, robustness.md and, of ImageNet-C, robustness.png.

    Args:
        runner: The runner.
        dataloader: Config of the data loader of the clean validation images, labelled 0 to 999.
        evaluator: Empty: ``test_evaluator=[]``.
        imagenet_c: ``dict(data_root=…, pipeline=[…])``; the images are 224 pixels already. ``data_root`` holds
            ``{corruption}/{severity}/{wnid}/*``, or those in the folders of the official archives: noise, blur,
            weather, digital. None, or without a data_root: not measured, and the results say so.
        imagenet_a: The same, but ``data_root`` holds ``{wnid}/*``.
        imagenet_r: As imagenet_a.

    Raises:
        FileNotFoundError: Folders are missing; all of them are named.
        ValueError: An evaluator; nothing to measure; DAGA modules that are still the identity; logits of another shape
            or not finite; labels that are not in the set.
    """

    def __init__(
        self,
        runner: Runner,
        dataloader: DataLoader | dict,
        evaluator: list,
        imagenet_c: dict | None = None,
        imagenet_a: dict | None = None,
        imagenet_r: dict | None = None,
    ) -> None:
        refuse_evaluator(evaluator, type(self))
        if not isinstance(dataloader, Mapping):
            raise ValueError(
                'RobustnessLoop needs test_dataloader as a config: its other data loaders are built like it'
            )
        sets = dict(zip(SETS, (imagenet_c, imagenet_a, imagenet_r), strict=True))
        self.sets = {name: config for name, config in sets.items() if config and config.get('data_root')}
        if not self.sets:
            raise ValueError(f'RobustnessLoop has nothing to measure: give one of {", ".join(SETS)} a data_root')
        self.folders = _folders(self.sets)
        super().__init__(runner, dataloader)
        self.template = dataloader

    @as_run_error(ValueError)
    def run(self) -> dict[str, float]:
        """Measure what has not been measured yet, write the report, and hand the metrics (percent) to the hooks.

        Raises:
            RunError: Weights, labels or logits are not fit to be measured.
        """
        self.runner.call_hook('before_test')
        self.runner.call_hook('before_test_epoch')
        backbone = getattr(unwrap(self.runner.model), 'backbone', None)
        if isinstance(backbone, DAGAViT):
            refuse_fresh_adapters(backbone)
        weights, notes = on_rank_zero(self._notes)
        done: dict[str, dict] = on_rank_zero(lambda: json.loads(notes.read_text()) if notes.is_file() else {})
        datasets = self._datasets()
        asked = on_rank_zero(lambda: {name: self._asked(name, dataset) for name, dataset in datasets.items()})
        rest = [name for name, dataset in asked.items() if done.get(name, {}).get('dataset') != dataset]
        if len(rest) < len(asked):
            self.runner.logger.info(f'{len(asked) - len(rest)} of {len(asked)} folders were measured before: {notes}')
        progress = Progress('robustness', len(rest), 'folders', every=0)
        for number, name in enumerate(rest, 1):
            done[name] = {**self._measure(name, datasets[name]), 'dataset': asked[name]}
            on_rank_zero(lambda: AtomicBackend().put_text(json.dumps(done, indent=1), notes))
            progress.update(number)
        results = on_rank_zero(
            lambda: summarise(done, SETS, self.sets, {**fingerprints(self.runner), 'model': weights})
        )
        on_rank_zero(lambda: write_report(results, Path(self.runner.log_dir)))
        metrics = {f'robustness/{name}': value for name, value in results['metrics'].items()}
        self.runner.call_hook('after_test_epoch', metrics=metrics)
        self.runner.call_hook('after_test')
        return metrics

    def _asked(self, name: str, dataset: dict) -> str:
        """What is measured: a data set's config, and how many images it has now."""
        count = sum(1 for _ in self.folders[name].glob('*/*')) if name in self.folders else len(self.dataloader.dataset)
        return json.dumps([dataset, count], sort_keys=True, default=str)

    def _notes(self) -> tuple[str, Path]:
        """The fingerprint of all weights, head included, and the file for what is measured with them."""
        weights = fingerprint(unwrap(self.runner.model).state_dict())
        config = json.dumps([self.runner.cfg.get('model'), self.runner.cfg.get('data_preprocessor')], default=str)
        key = hashlib.sha256(f'{weights} {config}'.encode()).hexdigest()[:16]
        return weights, Path(self.runner.work_dir) / 'robustness' / f'{key}.json'

    def _datasets(self) -> dict[str, dict]:
        """The config of every data set to measure, by name; the clean one first."""
        return {'clean': dict(self.template['dataset'])} | {
            name: dict(
                type='daga_mm.ImageNetFolders',
                data_root=str(folder.absolute()),
                pipeline=self.sets[name.partition('/')[0]]['pipeline'],
                serialize_data=False,  # for the sake of millions of images, it collects garbage: half a second each
            )
            for name, folder in self.folders.items()
        }

    def _loader(self, name: str, dataset: dict) -> DataLoader:
        if name == 'clean':
            return self.dataloader
        sampler = dict(type='DefaultSampler', shuffle=False)
        config = {**self.template, 'dataset': dataset, 'sampler': sampler, 'persistent_workers': False}
        return self.runner.build_dataloader(config, seed=self.runner.seed)

    @torch.no_grad()
    def _measure(self, name: str, dataset: dict) -> dict[str, int]:
        """How many of the images are named rightly, and how many there are."""
        model = unwrap(self.runner.model).eval()
        loader = self._loader(name, dataset)
        subset = wnids(name) if name in ('imagenet_a', 'imagenet_r') else wnids()
        competing = [label for label, wnid in enumerate(wnids()) if wnid in subset]
        allowed = set(competing)
        hits: dict[int, bool] = {}  # by index: samplers repeat images to give each process as many
        for batch in loader:
            data = model.data_preprocessor(batch, False)
            logits = _logits(model, data['inputs'])
            named = [competing[column] for column in logits[:, competing].argmax(dim=1).tolist()]
            finite = logits.isfinite().all(dim=1).tolist()
            for sample, label, sound in zip(data['data_samples'], named, finite, strict=True):
                truth = int(sample.gt_label)
                if truth not in allowed:
                    raise ValueError(f'{sample.img_path} has label {truth}, which is no class of {name}')
                if not sound:
                    raise ValueError(f'the logits of {sample.img_path} are not finite: look at it, and at the weights')
                hits[sample.sample_idx] = label == truth
        everywhere = {index: hit for part in all_gather_object(hits) for index, hit in part.items()}
        total = len(loader.dataset)  # type: ignore[arg-type]
        if len(everywhere) != total:
            raise ValueError(f'{name}: {len(everywhere)} of {total} images were seen')
        return {'correct': sum(everywhere.values()), 'images': total}


def _logits(model: Any, images: torch.Tensor) -> torch.Tensor:
    logits = model(images, mode='tensor')
    if not isinstance(logits, torch.Tensor) or logits.ndim != 2 or logits.shape[1] != len(wnids()):
        shape = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
        raise ValueError(f"mode='tensor' of the model gives {shape}, not logits (images, {len(wnids())})")
    return logits


def _folders(sets: Mapping[str, Mapping]) -> dict[str, Path]:
    """The folder of class folders of everything to measure, by name.

    Raises:
        FileNotFoundError: Some are missing or empty.
    """
    folders: dict[str, Path] = {}
    for name, config in sets.items():
        root = Path(config['data_root'])
        if name != 'imagenet_c':
            folders[name] = root
            continue
        for group, corruptions in CORRUPTION_GROUPS.items():
            for corruption in corruptions:
                grouped = root / group / corruption
                base = grouped if grouped.is_dir() else root / corruption
                folders |= {f'{name}/{corruption}/{severity}': base / str(severity) for severity in SEVERITIES}
    missing = [
        str(folder)
        for folder in folders.values()
        if not folder.is_dir() or not any(path.is_dir() for path in folder.iterdir())
    ]
    if missing:
        raise FileNotFoundError(
            '\n  '.join([f'{len(missing)} folders of images are missing or empty; nothing was measured:', *missing])
        )
    return folders
