"""Features of a data set, extracted once, kept on disk, and read by every probe."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import torch
from mmengine.dist import all_gather_object, get_dist_info
from mmengine.logging import print_log
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.utils.data import DataLoader

from ..backbones import DAGAViT, unwrap
from .progress import Progress
from .ranks import on_rank_zero
from .weights import probed_backbone

PATHS = ('data_root', 'data_prefix', 'ann_file', 'init_cfg')


class FeatureBank:
    """[class token; mean patch] and the label of every image of a data set, in the data set's order.

    The file, ``{cache_dir}/{name}-{key}.safetensors``, holds ``features`` (N, 2D) in float32 and ``labels`` (N,) in
    int64. Its header, which ``head -c`` shows, is the record: what the features are of. The key is a hash of it.

    Args:
        cache_dir: The folder of banks.
        name: For people who look into it: letters, digits, hyphens.
        record: What the features are of, see :func:`describe`.
    """

    def __init__(self, cache_dir: str | os.PathLike, name: str, record: Mapping[str, str]) -> None:
        self.record = dict(record)
        key = hashlib.sha256(json.dumps(self.record, sort_keys=True).encode()).hexdigest()[:16]
        self.path = Path(cache_dir) / f'{name}-{key}.safetensors'

    def load(self) -> tuple[Tensor, Tensor]:
        """Features (N, 2D) and labels (N,); see :func:`read_bank` for errors."""
        return read_bank(self.path, self.record)

    def extract(self, model: torch.nn.Module, dataloader: DataLoader) -> None:
        """Run the model over the data set and write the file; in several processes, each over its part.

        Every process must call this. Its folder must be the same one for all of them. Two processes give the features
        of one bit for bit, as far as the machine computes an image alike in any batch.

        Args:
            model: Its ``data_preprocessor`` and its ``backbone``, a DAGAViT with out_type 'cls_avg', are used.
            dataloader: Its samples carry ``sample_idx``, as mmpretrain's PackInputs has it.

        Raises:
            ValueError: Features that are not finite; the first such image is named. Images that no process has seen.
                The file cannot be written.
        """
        dataset: Any = dataloader.dataset
        rank, world_size = get_dist_info()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ValueError(
                f'no folder {self.path.parent} can be made ({error.strerror}): test_cfg.cache_dir names another'
            ) from error
        job = on_rank_zero(lambda: uuid4().hex[:8])  # others may fill the same bank at the same time
        parts = [self.path.with_suffix(f'.{job}-{rank}.part') for rank in range(world_size)]
        indices, features, bad = _forward(model, dataloader, self.path.stem)
        bad = min((index for index in all_gather_object(bad) if index is not None), default=None)
        if bad is not None:
            path = dataset.get_data_info(bad)['img_path']
            raise ValueError(f'the features of {path} are not finite: look at the image, and at the weights')
        whole = self.path.with_suffix(f'.{job}.part')
        fault = None
        try:
            try:
                save_file({'indices': indices, 'features': features}, parts[rank])
            except (OSError, SafetensorError) as error:
                fault = str(error)
            del features
            fault = next(filter(None, all_gather_object(fault)), None)  # all parts are written, or all processes stop
            if fault:
                raise self._unwritable(fault)
            on_rank_zero(lambda: self._assemble(parts, whole, dataset))
        except SafetensorError as error:
            raise self._unwritable(error) from error
        finally:
            for path in (parts[rank], whole):
                path.unlink(missing_ok=True)

    def _unwritable(self, why: object) -> ValueError:
        return ValueError(f'{self.path} cannot be written ({why}): test_cfg.cache_dir names another folder')

    def _assemble(self, parts: list[Path], whole: Path, dataset: Any) -> None:
        total = len(dataset)
        seen = torch.zeros(total, dtype=torch.bool)
        features = torch.empty(0)
        for part in parts:
            with safe_open(part, 'pt') as file:
                indices = file.get_tensor('indices')
                values = file.get_tensor('features')
            if not len(features):
                features = torch.empty(total, values.shape[1])
            # A sampler repeats the first images to give each process as many: they come again, and are the same.
            features[indices] = values
            seen[indices] = True
        if not seen.all():
            missing = (~seen).nonzero().flatten().tolist()
            raise ValueError(
                f'{len(missing)} of {total} images have no features, the first of them {missing[0]}: the sampler must '
                'visit all of them, and the data set must number its samples itself (no wrapper around it)'
            )
        labels = torch.tensor([_label(dataset.get_data_info(index)) for index in range(total)])
        save_file({'features': features, 'labels': labels}, whole, metadata=self.record)
        whole.replace(self.path)
        print_log(f'{total:,} features of {features.shape[1]} channels written to {self.path}', 'current')


def read_bank(path: str | os.PathLike, record: Mapping[str, str] | None = None) -> tuple[Tensor, Tensor]:
    """Read a bank.

    Args:
        path: Its file.
        record: What the features must be of; None: whatever they are of.

    Returns:
        Features (N, 2D) and labels (N,).

    Raises:
        FileNotFoundError: No such file.
        ValueError: The file is a bank of something else; what differs is named.
    """
    with safe_open(path, 'pt') as file:
        found = file.metadata() or {}
        if not {'features', 'labels'} <= set(file.keys()):
            raise ValueError(f'{path} is no feature bank: it holds {", ".join(file.keys()) or "nothing"}')
        if record is not None and found != record:
            differing = [name for name in sorted({*record, *found}) if record.get(name) != found.get(name)]
            lines = [f'{name}: {found.get(name)} in the file, {record.get(name)} asked for' for name in differing]
            raise ValueError('\n  '.join([f'{path} is not the bank that is asked for:', *lines]))
        return file.get_tensor('features'), file.get_tensor('labels')


def describe(
    backbone: DAGAViT, backbone_cfg: Mapping, preprocessor_cfg: Mapping | None, dataset: Any, dataset_cfg: Mapping
) -> dict[str, str]:
    """What the features of a data set are of: weights, architecture, preparation and images.

    Paths are no part of it: data sets and checkpoints may move. Images are told apart by their paths within the data
    set, their labels, and the sizes and modification times of their files. A copy that does not keep the times is
    another data set.

    Args:
        backbone: With its weights.
        backbone_cfg: Its config.
        preprocessor_cfg: The config of the model's data_preprocessor.
        dataset: An mmengine data set of images with labels.
        dataset_cfg: Its config, pipeline included.
    """
    return {
        **backbone.fingerprints(),
        'backbone': _canonical(backbone_cfg),
        'data_preprocessor': _canonical(preprocessor_cfg or {}),
        'dataset': _canonical(dataset_cfg),
        'images': str(len(dataset)),
        'data': _digest(dataset),
    }


def _canonical(config: Mapping) -> str:
    return json.dumps({k: v for k, v in config.items() if k not in PATHS}, sort_keys=True, default=str)


def _digest(dataset: Any) -> str:
    digest = hashlib.sha256()
    prefix = dataset.data_root or (getattr(dataset, 'data_prefix', None) or {}).get('img_path') or '.'
    for index in range(len(dataset)):
        info = dataset.get_data_info(index)
        if 'img_path' not in info:
            raise ValueError(f'{type(dataset).__name__} has no image files (img_path), by which a bank knows its data')
        path = info['img_path']
        file = os.stat(path)
        line = (os.path.relpath(path, prefix), _label(info), file.st_size, file.st_mtime_ns)
        digest.update('\t'.join(map(str, line)).encode() + b'\n')
    return digest.hexdigest()[:16]


def _label(info: Mapping[str, Any]) -> int:
    try:
        return int(info['gt_label'])
    except (KeyError, TypeError) as error:
        raise ValueError(f'{info["img_path"]} has not one label (gt_label): a probe needs one per image') from error


@torch.no_grad()
def _forward(model: torch.nn.Module, dataloader: DataLoader, name: str) -> tuple[Tensor, Tensor, int | None]:
    """Indices (n,) and features (n, 2D) of this process's images, and the index of the first that is not finite."""
    backbone, preprocessor = probed_backbone(model), unwrap(model).data_preprocessor
    unwrap(model).eval()
    count = len(dataloader.sampler)  # type: ignore[arg-type]
    indices = torch.empty(count, dtype=torch.long)
    features = torch.empty(0)
    done = 0
    progress = Progress(f'features of {name}', count, 'images')
    for batch in dataloader:
        data = preprocessor(batch, False)
        (values,) = backbone(data['inputs'])
        values = values.float().cpu()
        if not all('sample_idx' in sample for sample in data['data_samples']):
            raise ValueError("the samples carry no sample_idx: it is one of PackInputs' meta_keys")
        where = torch.tensor([sample.sample_idx for sample in data['data_samples']])
        finite = values.isfinite().all(dim=1)
        if not finite.all():
            return indices, features, int(where[~finite].min())
        if not len(features):
            features = torch.empty(count, values.shape[1])
        indices[done : done + len(where)] = where
        features[done : done + len(where)] = values
        done += len(where)
        progress.update(done)
    return indices[:done], features[:done], None
