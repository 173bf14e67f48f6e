"""Check that data sets, a model's heads and evaluators fit each other, before the first step."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from traceback import extract_tb
from typing import Any

from mmengine.evaluator import Evaluator
from mmengine.logging import print_log
from mmengine.runner import BaseLoop
from torch import nn
from torch.utils.data import DataLoader

from ..backbones import unwrap
from ..errors import RunError
from .checked_pipeline import check_pipelines, classes_of

# Upstream's names of the heads that learn the classes of the data. Those of the first line make the predictions.
PREDICTING = ('head', 'decode_head', 'bbox_head', 'panoptic_head')
HEADS = (*PREDICTING, 'auxiliary_head', 'mask_head')
# What mmdet's CocoDataset reads of each entry, and its CocoPanopticDataset.
FIELDS = {
    'categories': ('id', 'name'),
    'images': ('id', 'file_name', 'width', 'height'),
    'annotations': ('id', 'image_id', 'category_id', 'bbox', 'area'),
}
PANOPTIC_FIELDS = {
    'categories': ('id', 'name', 'isthing'),
    'images': FIELDS['images'],
    'annotations': ('image_id', 'segments_info'),
    'segments_info': ('id', 'category_id', 'bbox', 'area', 'iscrowd'),
}
NAMED = {'IoUMetric', 'SemSegMetric'}  # metrics that cannot do without the names of classes


@contextmanager
def reading(dataloader: DataLoader | Mapping) -> Iterator[dict[str, Any]]:
    """Name the file or setting at fault where a data set cannot be built.

    Yields:
        The COCO files that are read meanwhile, by path. Data sets discard their content, and to read it a second time
        takes long.

    Raises:
        RunError: A data set finds no image, annotations lack a field, or segments are of no class of the data set.
    """
    try:
        with _remember_coco() as files:
            yield files
    except KeyError as error:
        faults = (
            _missing_field(path, coco.dataset) or _unknown_class(path, coco, error) for path, coco in files.items()
        )
        fault = next(filter(None, faults), None)
        if fault is None:
            raise
        raise RunError(fault) from error
    except ValueError as error:
        if extract_tb(error.__traceback__)[-1].name != '_serialize_data':  # mmengine joins the entries of a data set
            raise
        raise RunError(_nothing_in(dataloader)) from error


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
            _check_order(dataset.ann_file, coco, classes_of(dataset))
            if not _is_panoptic(dataset):
                _warn_of_strangers(dataset.ann_file, coco)
                _check_masks(dataset, coco)


def check_evaluation(loop: BaseLoop) -> None:
    """Check that the evaluator of a loop can measure the predictions for its data set.

    Raises:
        RunError: A metric needs names of classes and the data set has none; or an ``ann_file`` is that of other images,
            has the classes in another order, or lacks a field that the metric reads.
    """
    evaluator: Any = getattr(loop, 'evaluator', None)
    dataset = loop.dataloader.dataset
    if type(evaluator) is not Evaluator:  # mmdet's for several data sets has a metric for each
        return
    for metric in evaluator.metrics:
        kind, bases = type(metric).__name__, {base.__name__ for base in type(metric).__mro__}
        if NAMED & bases and not classes_of(dataset):
            raise RunError(
                f"{type(dataset).__name__} has no names of classes, and {kind} needs them: set the data set's "
                "metainfo, as in metainfo=dict(classes=('soil', 'crop'), palette=[[150, 100, 50], [0, 160, 0]])"
            )
        coco = getattr(metric, '_coco_api', None) if {'CocoMetric', 'CocoPanopticMetric'} & bases else None
        if coco is None or metric.format_only:
            continue
        where = f'the ann_file of {kind}'
        _check_images(where, coco, dataset)
        if 'CocoMetric' in bases:
            classes = dataset.metainfo['thing_classes'] if _is_panoptic(dataset) else classes_of(dataset)
            _check_order(where, coco, classes)
            _check_truth(where, coco, classes, metric.metrics)
        else:
            _check_order(where, coco, classes_of(dataset))
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


def _check_order(where: str, coco: Any, classes: Sequence[str]) -> None:
    """mmdet numbers the categories in the order of the file, and names them in that of the classes."""
    names = [coco.cats[number]['name'] for number in coco.getCatIds(catNms=list(classes))]
    if sorted(names) == sorted(classes) and names != list(classes):
        raise RunError(
            f"{where} has the classes in another order than the data set's metainfo.classes, and predictions would get "
            f'wrong names: take the order of the file, classes={tuple(names)!r}'
        )


def _warn_of_strangers(path: str, coco: Any) -> None:
    """mmdet leaves out annotations of a category that the file does not declare."""
    strangers = sorted({one['category_id'] for one in coco.dataset.get('annotations', ())} - coco.cats.keys(), key=str)
    if strangers:
        print_log(
            f'{path} has annotations with the category_id {", ".join(map(str, strangers[:5]))}, which is not among its '
            'categories: they are left out. Correct the ids, or add the categories',
            'current',
            logging.WARNING,
        )


def _check_masks(dataset: Any, coco: Any) -> None:
    loads_masks = any(getattr(transform, 'with_mask', False) for transform in dataset.pipeline.transforms)
    if not loads_masks or all(one.get('segmentation') for one in coco.dataset.get('annotations', ())):
        return
    for info in map(dataset.get_data_info, range(len(dataset))):  # it has left out what is not used
        if any('mask' not in instance for instance in info['instances']):
            raise RunError(
                f'{dataset.ann_file} has boxes without masks ("segmentation"), the first in {info["img_path"]}, and '
                'the pipeline loads masks: add them, or train a detector without a mask head and set with_mask=False'
            )


def _check_images(where: str, coco: Any, dataset: Any) -> None:
    """Every image of the data set is in the evaluator's file, under its id and name; a suffix may differ."""
    others = []
    for info in map(dataset.get_data_info, range(len(dataset))):
        entry = coco.imgs.get(info['img_id'])
        if entry is None or Path(entry.get('file_name') or info['img_path']).stem != Path(info['img_path']).stem:
            others.append(info)
    if others:
        raise RunError(
            f'{where} does not have {len(others)} of the {len(dataset)} images of the data set, the first '
            f"{others[0]['img_path']} with the id {others[0]['img_id']}: name the data set's annotation file in the "
            'evaluator, val_evaluator.ann_file or test_evaluator.ann_file'
        )


def _check_truth(where: str, coco: Any, classes: Sequence[str], metrics: Sequence[str]) -> None:
    """What pycocotools reads of each annotation is there."""
    fields = {'area', 'iscrowd', *('segmentation' if metric == 'segm' else 'bbox' for metric in metrics)}
    for one in coco.loadAnns(coco.getAnnIds(catIds=coco.getCatIds(catNms=list(classes)))):
        lacking = sorted(field for field in fields if one.get(field) in (None, []))
        if lacking:
            raise RunError(
                f'{where}: annotation {one["id"]} has no {" and no ".join(lacking)}, which metric={list(metrics)} '
                f'needs: add it to the file, or leave the metric out'
            )


def _missing_field(path: str, content: Mapping) -> str | None:
    """What mmdet's CocoDataset reads and a COCO file lacks; None if nothing."""
    if 'categories' not in content:
        return f'{path} has no categories, expected a list of dict(id=…, name=…): add one for each class'
    annotations = content.get('annotations', ())
    is_panoptic = any('segments_info' in one for one in annotations)
    segments = (segment for one in annotations for segment in one.get('segments_info', ()))
    for kind, fields in (PANOPTIC_FIELDS if is_panoptic else FIELDS).items():
        for entry in segments if kind == 'segments_info' else content.get(kind, ()):
            lacking = [field for field in fields if field not in entry]
            if lacking:
                return f'{path}: {kind} have no {" and no ".join(lacking)}, expected {", ".join(fields)}: {entry}'
    return None


def _unknown_class(path: str, coco: Any, error: KeyError) -> str | None:
    """mmdet leaves out boxes of other classes than the data set's, and fails at segments of one; None if it did not."""
    category = getattr(coco, 'cats', {}).get(error.args[0]) if error.args else None
    if category is None or 'isthing' not in category:
        return None
    return (
        f'{path} has segments of {category["name"]}, which is not among the classes of the data set: name all '
        'categories of the file, in its order, in metainfo.classes, and each in thing_classes or stuff_classes'
    )


def _nothing_in(dataloader: Any) -> str:
    """The message for a data set without images."""
    dataset = dataloader['dataset']
    while 'dataset' in dataset:
        dataset = dataset['dataset']
    places = {key: dataset[key] for key in ('data_root', 'ann_file', 'data_prefix', 'img_suffix') if dataset.get(key)}
    return (
        f'{dataset["type"]} has found no image: ' + ', '.join(f'{key} {value}' for key, value in places.items()) + '. '
        'Are there files, of the suffix that it looks for (img_suffix, seg_map_suffix)? In annotations of boxes, are '
        "the categories those of metainfo.classes? Without that they have to be COCO's"
    )


@contextmanager
def _remember_coco() -> Iterator[dict[str, Any]]:
    """Collect the COCO files that pycocotools reads, by path."""
    files: dict[str, Any] = {}
    if find_spec('pycocotools') is None:
        yield files
        return
    from pycocotools.coco import COCO

    read = COCO.__init__

    def remember(self: Any, annotation_file: str | None = None) -> None:
        files[str(annotation_file)] = self
        read(self, annotation_file)

    COCO.__init__ = remember
    try:
        yield files
    finally:
        COCO.__init__ = read
