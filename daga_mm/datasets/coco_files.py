"""COCO's annotation files: mmdet and pycocotools fail at a faulty one without its name, or not at all."""

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from traceback import extract_tb
from typing import Any

from mmengine.logging import print_log
from torch.utils.data import DataLoader

from ..errors import RunError

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


@contextmanager
def reading(dataloader: DataLoader | Mapping) -> Iterator[dict[str, Any]]:
    """Name the file or setting at fault where a data set cannot be built.

    Yields:
        The COCO files that are read meanwhile, by path. Data sets discard their content, and to read it a second time
        takes long.

    Raises:
        RunError: A data set finds no image, annotations are not JSON or lack a field, or segments are of no class of
            the data set.
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
    except json.JSONDecodeError as error:
        if not files:
            raise
        raise RunError(f'{[*files][-1]} is not JSON, or only a part of it ({error}): download it again') from error
    except ValueError as error:
        if extract_tb(error.__traceback__)[-1].name != '_serialize_data':  # mmengine joins the entries of a data set
            raise
        raise RunError(_nothing_in(dataloader)) from error


def check_order(where: str, coco: Any, classes: Sequence[str]) -> None:
    """mmdet numbers the categories in the order of the file, and names them in that of the classes."""
    names = [coco.cats[number]['name'] for number in coco.getCatIds(catNms=list(classes))]
    if sorted(names) == sorted(classes) and names != list(classes):
        raise RunError(
            f"{where} has the classes in another order than the data set's metainfo.classes, and predictions would get "
            f'wrong names: take the order of the file, classes={tuple(names)!r}'
        )


def warn_of_strangers(path: str, coco: Any) -> None:
    """mmdet leaves out annotations of a category that the file does not declare."""
    strangers = sorted({one['category_id'] for one in coco.dataset.get('annotations', ())} - coco.cats.keys(), key=str)
    if strangers:
        print_log(
            f'{path} has annotations with the category_id {", ".join(map(str, strangers[:5]))}, which is not among its '
            'categories: they are left out. Correct the ids, or add the categories',
            'current',
            logging.WARNING,
        )


def check_masks(dataset: Any, coco: Any) -> None:
    loads_masks = any(getattr(transform, 'with_mask', False) for transform in dataset.pipeline.transforms)
    if not loads_masks or all(one.get('segmentation') for one in coco.dataset.get('annotations', ())):
        return
    for info in map(dataset.get_data_info, range(len(dataset))):  # it has left out what is not used
        if any('mask' not in instance for instance in info['instances']):
            raise RunError(
                f'{dataset.ann_file} has boxes without masks ("segmentation"), the first in {info["img_path"]}, and '
                'the pipeline loads masks: add them, or train a detector without a mask head and set with_mask=False'
            )


def check_images(where: str, coco: Any, dataset: Any) -> None:
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


def check_truth(where: str, coco: Any, classes: Sequence[str], metrics: Sequence[str]) -> None:
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
