"""Heads, data sets and annotations that do not fit each other; tests/test_bad_input.py has whole runs."""

from types import SimpleNamespace

import mmseg.models  # noqa: F401 (registers them)
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.dataset import Compose
from mmengine.hub import get_config
from mmengine.registry import MODELS, DefaultScope
from mmengine.structures import PixelData
from pycocotools.coco import COCO

from daga_mm.datasets import check_data, checks, coco_files, reading
from daga_mm.datasets.checked_pipeline import CheckedPipeline
from daga_mm.errors import RunError


@pytest.fixture
def warnings(monkeypatch):
    """The warnings of the checks."""
    found: list[str] = []
    for module in (checks, coco_files):
        monkeypatch.setattr(module, 'print_log', lambda message, *args: found.append(message))
    return found


def model_of(**classes: int) -> torch.nn.Module:
    """A model with heads of these numbers of classes; `__` stands for a dot."""
    model = torch.nn.Module()
    for name, count in classes.items():
        head = model
        for part in name.split('__'):
            if part not in dict(head.named_children()):
                head.add_module(part, torch.nn.Module())
            head = head.get_submodule(part)
        head.num_classes = count
    return model


def check(count: int, model: torch.nn.Module, **metainfo) -> None:
    classes = tuple(f'class {number}' for number in range(count))
    dataset = SimpleNamespace(pipeline=Compose([]), metainfo={'classes': classes, **metainfo})
    check_data(SimpleNamespace(dataset=dataset), model, {})


@pytest.mark.parametrize(
    'name', ['head', 'decode_head', 'decode_head__1', 'roi_head__bbox_head__2', 'module__bbox_head']
)
def test_a_head_that_predicts_has_all_classes_of_the_data(name, warnings):
    with pytest.raises(RunError, match=rf'3 classes, model\.{name.replace("__", ".")} 2.*num_classes'):
        check(3, model_of(**{name: 2}))
    check(3, model_of(**{name: 3}))
    assert not warnings


def test_heads_of_more_classes_than_the_data_are_named_in_a_warning(warnings):
    check(3, model_of(roi_head__bbox_head=80, roi_head__mask_head=80, rpn_head=1))
    (warning,) = warnings
    assert 'has 3 classes, model.roi_head.bbox_head 80, model.roi_head.mask_head 80: set num_classes' in warning


def test_a_mask_head_for_all_classes_at_once_has_any_number_of_them(warnings):
    model = model_of(mask_head=80)
    model.mask_head.class_agnostic = True
    check(365, model)
    assert not warnings


def test_a_head_of_one_channel_tells_two_classes_apart(warnings):
    model = model_of(decode_head=1)
    model.decode_head.out_channels = 1
    check(2, model)
    assert not warnings


def test_panoptic_heads_share_the_classes(warnings):
    check(3, model_of(bbox_head=2), thing_classes=('class 0', 'class 1'), stuff_classes=('class 2',))
    assert not warnings


@pytest.mark.parametrize(
    ('things', 'stuff', 'message'),
    [
        (1, 2, r'has 1 things and 2 kinds of stuff, model\.panoptic_head 2 and 1: set num_things_classes'),
        (2, 0, r'metainfo\.classes of SimpleNamespace are 3, expected thing_classes \(2\) and behind'),
    ],
)
def test_things_and_stuff_are_as_many_as_those_of_the_model(things, stuff, message):
    names = [f'class {number}' for number in range(3)]
    model = torch.nn.Module()
    model.panoptic_head = torch.nn.Module()
    model.panoptic_head.num_things_classes, model.panoptic_head.num_stuff_classes = 2, 1
    check(3, model, thing_classes=names[:2], stuff_classes=names[2:])
    with pytest.raises(RunError, match=message):
        check(3, model, thing_classes=names[:things], stuff_classes=names[3 - stuff :])


def test_things_are_those_of_the_file():
    coco = COCO()
    coco.dataset = dict(categories=[dict(id=i, name=f'class {i}', isthing=int(i < 2)) for i in range(3)])
    coco.createIndex()
    names = ('class 0', 'class 1', 'class 2')
    metainfo = dict(classes=names, thing_classes=names[:1], stuff_classes=names[1:])
    dataset = SimpleNamespace(pipeline=Compose([]), metainfo=metainfo, cat_ids=[0, 1, 2], ann_file='a.json')
    with pytest.raises(RunError, match=r'a\.json .*thing_classes .*class 1'):
        check_data(SimpleNamespace(dataset=dataset), torch.nn.Module(), {'a.json': coco})


def test_what_panoptic_annotations_lack_is_named():
    segment = dict(id=1, category_id=1, area=4, iscrowd=0)
    content = dict(
        categories=[dict(id=1, name='class 0', isthing=1)],
        images=[dict(id=1, file_name='a.jpg', width=2, height=2)],
        annotations=[dict(image_id=1, file_name='a.png', segments_info=[segment])],
    )
    assert '_: segments_info have no bbox, expected id, category_id, bbox' in coco_files._missing_field('_', content)
    segment['bbox'] = [0, 0, 2, 2]
    assert coco_files._missing_field('_', content) is None


def test_auxiliary_heads_may_have_fewer_classes(warnings):
    """mmseg's STDC has one for boundaries, of two."""
    config = get_config('mmseg::stdc/stdc1_4xb12-80k_cityscapes-512x1024.py')
    with DefaultScope.overwrite_default_scope('mmseg'):
        model = MODELS.build(config.model)
    assert model.auxiliary_head[2].num_classes == 2
    check(19, model)
    (warning,) = warnings
    assert 'has 19 classes, model.auxiliary_head.2 2: set num_classes' in warning
    with pytest.raises(RunError, match=r'20 classes, model\.decode_head 19, model\.auxiliary_head\.0 19'):
        check(20, model)


def test_annotations_of_undeclared_categories_are_named_in_a_warning(warnings):
    coco = COCO()
    coco.dataset = dict(categories=[dict(id=1, name='class 0')], annotations=[])
    for number, category in enumerate((1, 0, 7)):
        coco.dataset['annotations'].append(dict(id=number, image_id=1, category_id=category))
    coco.createIndex()
    dataset = SimpleNamespace(pipeline=Compose([]), metainfo=dict(classes=('class 0',)), cat_ids=[1], ann_file='a.json')
    check_data(SimpleNamespace(dataset=dataset), torch.nn.Module(), {'a.json': coco})
    (warning,) = warnings
    assert 'a.json has annotations with the category_id 0, 7, which is not among its categories' in warning


def test_annotation_files_are_remembered_only_while_data_sets_are_built(tmp_path):
    path = tmp_path / 'a.json'
    path.write_text('{}')
    read = COCO.__init__
    with reading({}) as files:
        coco = COCO(str(path))
    assert files == {str(path): coco} and COCO.__init__ is read


def test_errors_of_other_causes_are_not_renamed():
    for error in (KeyError('bbox'), ValueError('need at least one array to concatenate')):
        with pytest.raises(type(error)) as caught, reading({}):
            raise error
        assert caught.value is error


def test_maps_beside_boxes_are_not_looked_at():
    """mmdet's, of panoptic sets: their labels are not those of the boxes."""
    sample = DetDataSample(gt_sem_seg=PixelData(sem_seg=torch.full((1, 2, 2), 99)))
    pipeline = Compose([])
    pipeline.transforms = [lambda data: dict(data, data_samples=sample)]
    assert CheckedPipeline(pipeline, classes=('chair',))({})['data_samples'] is sample
