"""Check that data sets, a model's heads and evaluators fit each other, before the first step."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.evaluator import Evaluator
from mmengine.logging import print_log
from mmengine.runner import BaseLoop
from torch import nn
from torch.utils.data import DataLoader

from ..backbones import unwrap
from ..errors import RunError
from .checked_pipeline import check_pipelines, classes_of
from .coco_files import check_images, check_masks, check_order, check_truth, warn_of_strangers

# Upstream's names of the heads that learn the classes of the data. Those of the first line make the predictions.
PREDICTING = ('head', 'decode_head', 'bbox_head', 'panoptic_head')
HEADS = (*PREDICTING, 'auxiliary_head', 'mask_head')
NAMED = {'IoUMetric', 'SemSegMetric'}  # metrics that cannot do without the names of classes


def check_data(loader: DataLoader, model: Any, files: Mapping[str, Any]) -> None:
    """Check the data sets of a loader against the model and their annotation files, and let them name faulty files.

    Args:
        loader: Its data sets get a `CheckedPipeline` each.
        model: Of the run.
        files: The COCO files that were read for the loader, as `reading` yields them.

    Raises:
        RunError: A data set has more classes than a head that predicts them. Its annotations lack some of its classes,
            have them in another order, or lack masks that its pipeline loads. Things and stuff of a panoptic data set
            are not those of its file, or not as many as the model has.
    """
    model = unwrap(model)
    for dataset in check_pipelines(loader.dataset):
        coco = files.get(getattr(dataset, 'ann_file', None) or '')
        _check_categories(dataset)
        if _is_panoptic(dataset):
            _check_things(dataset, model, coco)
        else:
            _check_heads(dataset, model)
        if coco is not None and hasattr(dataset, 'cat_ids'):  # one of mmdet's
            check_order(dataset.ann_file, coco, classes_of(dataset))
            if not _is_panoptic(dataset):
                warn_of_strangers(dataset.ann_file, coco)
                check_masks(dataset, coco)


def check_evaluation(loop: BaseLoop) -> None:
    """Check that the evaluator of a loop can measure the predictions for its data set.

    Raises:
        RunError: A metric needs names of classes and the data set has none, or more of the best classes than there
            are; or an ``ann_file`` is that of other images, has the classes in another order, or lacks a field that
            the metric reads.
    """
    evaluator: Any = getattr(loop, 'evaluator', None)
    dataset = loop.dataloader.dataset
    if type(evaluator) is not Evaluator:  # mmdet's for several data sets has a metric for each
        return
    for metric in evaluator.metrics:
        kind = type(metric).__name__
        if NAMED & {base.__name__ for base in type(metric).__mro__} and not classes_of(dataset):
            raise RunError(
                f"{type(dataset).__name__} has no names of classes, and {kind} needs them: set the data set's "
                "metainfo, as in metainfo=dict(classes=('soil', 'crop'), palette=[[150, 100, 50], [0, 160, 0]])"
            )
        count = len(classes_of(dataset))
        if kind == 'Accuracy' and max(metric.topk) > count > 0:
            raise RunError(
                f'{kind} has topk={metric.topk}, expected at most {count}, the number of classes of '
                f'{type(dataset).__name__}: --cfg-options val_evaluator.topk="(1,)" test_evaluator.topk="(1,)"'
            )
        coco = getattr(metric, '_coco_api', None)
        if coco is None or metric.format_only:
            continue
        where = f'the ann_file of {kind}'
        check_images(where, coco, dataset)
        if not hasattr(metric, 'seg_prefix'):  # else it measures panoptic segments
            classes = dataset.metainfo['thing_classes'] if _is_panoptic(dataset) else classes_of(dataset)
            check_order(where, coco, classes)
            check_truth(where, coco, classes, metric.metrics)
        else:
            check_order(where, coco, classes_of(dataset))
            maps = metric.seg_prefix or ''
            if '://' not in maps and not Path(maps).is_dir():
                raise RunError(f'no folder {maps}: {kind} looks for the maps of segments there, set its seg_prefix')


def _is_panoptic(dataset: Any) -> bool:
    return 'thing_classes' in (getattr(dataset, 'metainfo', None) or {})


def _check_things(dataset: Any, model: nn.Module, coco: Any) -> None:
    """Things come first, are those of the file, and model and data agree on their number and on that of stuff.

    One head may predict things and another stuff, so that `_check_heads` is of no use.
    """
    name, classes = type(dataset).__name__, classes_of(dataset)
    things, stuff = dataset.metainfo['thing_classes'], dataset.metainfo.get('stuff_classes', ())
    if tuple(classes) != (*things, *stuff):
        raise RunError(
            f'metainfo.classes of {name} are {len(classes)}, expected thing_classes ({len(things)}) and behind them '
            f'stuff_classes ({len(stuff)}), since heads tell things from stuff by their numbers: correct its metainfo'
        )
    if coco is not None:
        marked = {category['name'] for category in coco.cats.values() if category['isthing']}
        other = sorted(marked & {*stuff} | {*things} - marked)
        if other:
            raise RunError(
                f'{dataset.ann_file} and metainfo.thing_classes of {name} disagree about {", ".join(other[:5])}: '
                'correct thing_classes and stuff_classes, or isthing in the file'
            )
    for part, module in model.named_modules():
        known = getattr(module, 'num_things_classes', None), getattr(module, 'num_stuff_classes', None)
        if None not in known and known != (len(things), len(stuff)):
            raise RunError(
                f'{name} has {len(things)} things and {len(stuff)} kinds of stuff, model.{part} {known[0]} and '
                f"{known[1]}: set num_things_classes and num_stuff_classes of all heads (Mask2Former's "
                'loss_cls.class_weight, too), or the metainfo of the data set'
            )


def _check_heads(dataset: Any, model: nn.Module) -> None:
    """Refuse fewer classes in a head that predicts than in the data, and warn of any other difference."""
    count = len(classes_of(dataset))
    heads = {name: known for name, known in _heads(model) if known != count}
    if not count or not heads:
        return
    found = (
        f'{type(dataset).__name__} has {count} classes, '
        + ', '.join(f'model.{name} {known}' for name, known in heads.items())
        + ": set num_classes, or the data set's metainfo.classes"
    )
    if any(known < count for name, known in heads.items() if _role(name) in PREDICTING):
        raise RunError(found)
    print_log(f'{found}. Ignore this if the difference is intended', 'current', logging.WARNING)


def _heads(model: nn.Module) -> Iterator[tuple[str, int]]:
    """Names and numbers of classes of the heads that learn those of the data."""
    for name, module in model.named_modules():
        known = getattr(module, 'num_classes', None)
        # Such a head predicts one mask for all classes.
        if _role(name) in HEADS and isinstance(known, int) and not getattr(module, 'class_agnostic', False):
            yield name, 2 if getattr(module, 'out_channels', None) == 1 else known  # mmseg: one channel, a threshold


def _role(name: str) -> str:
    """The last word of a module's name; heads in a list have numbers behind it."""
    return name.rstrip('.0123456789').rpartition('.')[2]


def _check_categories(dataset: Any) -> None:
    """mmdet numbers the categories that it finds, so that a missing one shifts all that follow."""
    count, categories = len(classes_of(dataset)), getattr(dataset, 'cat_ids', None)
    if categories is not None and len(categories) != count:
        raise RunError(
            f'{dataset.ann_file} has {len(categories)} of the {count} classes of {type(dataset).__name__}: name '
            "its categories, in their order, in the data set's metainfo.classes, and set num_classes"
        )


def require_same_classes(dataset: Any, trained: Sequence[str], trainee: str) -> None:
    """Refuse to measure on folders that number the classes in another way than the training did.

    Args:
        dataset: That is measured on.
        trained: The classes of the training; empty if they are not known.
        trainee: What was trained, for the message.

    Raises:
        RunError: The classes differ.
    """
    if not trained or not hasattr(dataset, 'folder_to_idx'):  # mmpretrain's, which numbers folders as it finds them
        return
    tested = classes_of(dataset)
    of_another_kind = len(trained) == len(tested) and not {*trained} & {*tested}  # words beside WordNet's numbers
    if tuple(trained) != tuple(tested) and not of_another_kind:
        other = sorted({*trained} ^ {*tested}) or ['their order']
        raise RunError(
            f'{trainee} was trained on other classes than those of {dataset.img_prefix}: what differs is '
            f'{", ".join(map(str, other[:5]))}. Give training and test the same class folders'
        )
