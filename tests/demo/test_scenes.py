"""The synthetic scenes: their geometry against their labels, and what is written through the readers of upstream."""

import json
import re
from types import SimpleNamespace

import numpy as np
import pytest

from daga_mm import compat  # noqa: F401  lets mmdet and mmseg load where mmcv was not compiled
from demo.scenes import CLASSES, COCO_CATEGORIES, LABELS, render_portrait, render_scene, writers
from demo.scenes.formats import MIN_AREA, sensor_depth
from demo.scenes.labels import CEILING, FLOOR, WALL, WNIDS
from demo.scenes.portrait import SUBJECTS
from demo.scenes.writers import WRITERS

SIZE = (96, 72)
SEED = 7  # both splits show a crowd
COUNTS = (3, 2)
PORTRAITS = (len(CLASSES) + 2, len(CLASSES))
SPLITS = ('train', 'val')


@pytest.fixture(scope='module')
def scenes():
    """The scenes of both splits as rendered, to hold against what was written."""
    return [[render_scene((SEED, split, i), SIZE) for i in range(COUNTS[split])] for split in (0, 1)]


@pytest.fixture(scope='module')
def written(tmp_path_factory):
    """Every layout, written once."""
    folder = tmp_path_factory.mktemp('scenes')
    return {name: write(name, folder / name) for name in WRITERS}


def write(layout, root, seed=SEED, workers=1):
    counts, size = (PORTRAITS, (48, 48)) if layout == 'imagenet' else (COUNTS, SIZE)
    return WRITERS[layout](root, *counts, seed, size=size, workers=workers)


def contents(root):
    """Every file's bytes by its path."""
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob('*')) if path.is_file()}


def assert_same_picture(loaded_bgr, rendered_rgb):
    """Equal but for what JPEG does to noise; swapped channels or a shifted row are more than twice as far off."""
    assert loaded_bgr.shape == rendered_rgb.shape
    assert np.abs(loaded_bgr[..., ::-1].astype(int) - rendered_rgb).mean() < 6


# -- one scene ----------------------------------------------------------------------------------------------------


def test_a_seed_is_a_scene():
    one, again, other = (render_scene(seed, SIZE) for seed in ((1, 0, 4), (1, 0, 4), (1, 0, 5)))
    for field in ('image', 'semantic', 'instance', 'depth'):
        assert np.array_equal(getattr(one, field), getattr(again, field))
        assert not np.array_equal(getattr(one, field), getattr(other, field))
    assert one.objects == again.objects


def test_each_object_has_its_class_and_its_area(scenes):
    for scene in scenes[0] + scenes[1]:
        assert np.array_equal(scene.instance == 0, np.isin(scene.semantic, [WALL, FLOOR, CEILING]))
        assert [thing.instance for thing in scene.objects] == list(range(1, len(scene.objects) + 1))
        assert [thing.name for thing in scene.objects] == [thing.name for thing in scene.things]
        for thing in scene.objects:
            mask = scene.instance == thing.instance
            assert thing.area == mask.sum()
            assert (scene.semantic[mask] == LABELS[thing.name].ade).all()


def points_of(scene):
    """(H, W, 3) world coordinates of the pixels, from depth and the camera alone."""
    rows, columns = np.indices(scene.depth.shape) + 0.5
    camera = scene.layout.camera
    across, down = columns - camera.size[0] / 2, rows - camera.size[1] / 2
    rays = np.stack([across / camera.focal, down / camera.focal, np.ones_like(rows)], axis=-1)
    return camera.eye + (scene.depth[..., None] * rays) @ camera.basis.T


def bounds_of(thing):
    """The lower and upper corner of a placed thing's solids."""
    reach = np.array([np.abs(solid.turn) @ solid.half for solid in thing.solids])
    centre = np.array([solid.centre for solid in thing.solids])
    return (centre - reach).min(0), (centre + reach).max(0)


@pytest.mark.parametrize('make', [lambda: render_scene(3, SIZE), lambda: render_portrait(3, 'chair', (64, 64))])
def test_depth_lies_on_the_geometry(make):
    scene = make()
    points, extent = points_of(scene), scene.layout.room.extent
    millimetre = 1e-3
    assert (points > -millimetre).all()
    assert (points < extent + millimetre).all()
    assert np.abs(points[scene.semantic == FLOOR][:, 1]).max() < millimetre
    walls = points[scene.semantic == WALL][:, [0, 2]]
    assert np.minimum(np.abs(walls), np.abs(walls - extent[[0, 2]])).min(1).max() < millimetre
    ceiling = points[scene.semantic == CEILING][:, 1]
    assert (np.abs(ceiling - extent[1]) < millimetre).all()
    seen = [(thing, placed) for thing, placed in zip(scene.objects, scene.things, strict=True) if thing.area]
    assert seen
    for thing, placed in seen:
        low, high = bounds_of(placed)
        mine = points[scene.instance == thing.instance]
        assert (mine > low - millimetre).all()
        assert (mine < high + millimetre).all()


def test_the_picture_shows_what_the_labels_say(scenes):
    def unexplained(image, labels):
        """The grey values' spread within the parts."""
        grey, (_, part) = image.mean(-1).ravel(), np.unique(labels, return_inverse=True)
        part = part.ravel()
        mean = np.bincount(part, grey) / np.bincount(part)
        return ((grey - mean[part]) ** 2).mean()

    for scene in scenes[0] + scenes[1]:
        labels = scene.instance * 256 + scene.semantic
        right = unexplained(scene.image, labels)
        for wrong in (labels[:, ::-1], labels[::-1], np.roll(labels, 6, 1)):
            assert right < unexplained(scene.image, wrong)


def test_a_portrait_is_mostly_its_subject():
    assert set(SUBJECTS) == set(CLASSES)
    for seed, name in enumerate(CLASSES):
        scene = render_portrait(seed, name, (48, 48))
        assert max(thing.area for thing in scene.objects if thing.name == name) >= 0.06 * 48 * 48
    with pytest.raises(ValueError, match="no class 'rug'"):
        render_portrait(0, 'rug')


# -- names and formats --------------------------------------------------------------------------------------------


def test_names_and_ids_are_those_of_the_real_data_sets():
    ade = pytest.importorskip('mmseg.datasets').ADE20KDataset.METAINFO['classes']
    coco = pytest.importorskip('mmdet.datasets').CocoDataset.METAINFO['classes']
    assert [ade[label.ade - 1].strip() for label in LABELS.values()] == list(LABELS)  # mmseg spells it 'bed '
    assert (ade[WALL - 1], ade[FLOOR - 1], ade[CEILING - 1]) == ('wall', 'floor', 'ceiling')
    assert tuple(category['name'] for category in COCO_CATEGORIES) == coco
    assert len({category['id'] for category in COCO_CATEGORIES}) == 80
    assert COCO_CATEGORIES[-1]['id'] == 90
    named = {category['id']: category['name'] for category in COCO_CATEGORIES}
    other_words = {
        'table': 'dining table', 'plant': 'potted plant', 'sofa': 'couch', 'ball': 'sports ball',
        'television receiver': 'tv',
    }  # fmt: skip
    for name, label in LABELS.items():
        assert label.coco is None or named[label.coco] == other_words.get(name, name)


def test_wnids_are_imagenets():
    info = pytest.importorskip('timm.data').ImageNetInfo('imagenet-1k')
    described = dict(zip(info.label_names(), info.label_descriptions(), strict=True))
    other_words = {'bed': 'four-poster', 'plant': 'flowerpot', 'sofa': 'couch', 'box': 'carton'}
    for name, wnid in WNIDS.items():
        assert other_words.get(name, name.split()[0]) in described[wnid]


def test_the_sensor_has_no_reading_behind_edges_and_out_of_range():
    depth = np.full((60, 60), 2.0, np.float32)
    depth[:, 30:], depth[:10], depth[50:] = 3.0, 0.4, 11.0
    millimetres = sensor_depth(SimpleNamespace(depth=depth), np.random.default_rng(0))
    assert millimetres.dtype == np.uint16
    assert not millimetres[:10].any()
    assert not millimetres[50:].any()
    assert not millimetres[:, 30].any()
    near, far = millimetres[11:49, :30], millimetres[11:49, 31:]
    assert set(np.unique(near)) <= {0, 2000}
    assert set(np.unique(far)) <= {0, 3000}
    assert 0.001 < (np.concatenate([near, far], axis=1) == 0).mean() < 0.03


# -- through the readers ------------------------------------------------------------------------------------------


@pytest.mark.parametrize('split', [0, 1])
def test_coco_through_mmdet(written, scenes, split):
    datasets = pytest.importorskip('mmdet.datasets')
    transforms = pytest.importorskip('mmdet.datasets.transforms')
    loading = pytest.importorskip('mmcv.transforms').LoadImageFromFile()
    name = SPLITS[split]
    dataset = datasets.CocoDataset(
        data_root=str(written['coco']),
        ann_file=f'annotations/instances_{name}2017.json',
        data_prefix=dict(img=f'{name}2017/'),
        pipeline=[loading, transforms.LoadAnnotations(with_bbox=True, with_mask=True, box_type=None)],
    )
    assert len(dataset) == COUNTS[split]
    crowds = 0
    for sample, scene in zip(dataset, scenes[split], strict=True):
        assert_same_picture(sample['img'], scene.image)
        things = [thing for thing in scene.objects if LABELS[thing.name].coco and thing.area >= MIN_AREA]
        masks = np.stack([scene.instance == thing.instance for thing in things])
        assert np.array_equal(sample['gt_masks'].to_ndarray(), masks)
        assert sample['gt_ignore_flags'].tolist() == [thing.crowd for thing in things]
        named = [COCO_CATEGORIES[label]['id'] for label in sample['gt_bboxes_labels']]
        assert named == [LABELS[thing.name].coco for thing in things]
        for box, mask in zip(sample['gt_bboxes'], masks, strict=True):
            rows, columns = np.nonzero(mask)
            assert box.tolist() == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        crowds += sum(thing.crowd for thing in things)
    assert crowds


def test_coco_ids_are_unique_in_both_splits(written):
    for kind in ('images', 'annotations'):
        files = [
            json.loads((written['coco'] / f'annotations/instances_{split}2017.json').read_text()) for split in SPLITS
        ]
        ids = [entry['id'] for file in files for entry in file[kind]]
        assert len(set(ids)) == len(ids)


@pytest.mark.parametrize('split', [0, 1])
def test_ade20k_through_mmseg(written, scenes, split):
    datasets = pytest.importorskip('mmseg.datasets')
    loading = pytest.importorskip('mmcv.transforms').LoadImageFromFile()
    folder = ('training', 'validation')[split]
    dataset = datasets.ADE20KDataset(
        data_root=str(written['ade20k'] / 'ADEChallengeData2016'),
        data_prefix=dict(img_path=f'images/{folder}', seg_map_path=f'annotations/{folder}'),
        pipeline=[loading, datasets.LoadAnnotations()],
    )
    assert dataset.reduce_zero_label
    assert len(dataset) == COUNTS[split]
    for sample, scene in zip(dataset, scenes[split], strict=True):
        assert_same_picture(sample['img'], scene.image)
        assert np.array_equal(sample['gt_seg_map'], scene.semantic.astype(int) - 1)
        assert sample['gt_seg_map'].max() < 150  # the ignored 255 does not occur


@pytest.mark.parametrize('split', [0, 1])
def test_nyu_through_mmseg(written, scenes, split):
    datasets = pytest.importorskip('mmseg.datasets')
    loading = pytest.importorskip('mmcv.transforms').LoadImageFromFile()
    depth_loading = pytest.importorskip('mmseg.datasets.transforms').LoadDepthAnnotation(depth_rescale_factor=1e-3)
    folder = ('train', 'test')[split]
    dataset = datasets.NYUDataset(
        data_root=str(written['nyu']),
        data_prefix=dict(img_path=f'images/{folder}', depth_map_path=f'annotations/{folder}'),
        pipeline=[loading, depth_loading],
    )
    assert len(dataset) == COUNTS[split]
    for sample, scene in zip(dataset, scenes[split], strict=True):
        assert_same_picture(sample['img'], scene.image)
        metres = sample['gt_depth_map']
        valid = metres > 0
        assert 0.5 < valid.mean() < 1
        assert np.abs(metres - scene.depth)[valid].max() < 1e-3


@pytest.mark.parametrize('split', [0, 1])
def test_imagenet_through_torchvision_and_mmpretrain(written, split):
    datasets = pytest.importorskip('torchvision.datasets')
    dataset = datasets.ImageFolder(written['imagenet'] / SPLITS[split])
    assert dataset.classes == sorted(WNIDS.values())
    shares = np.bincount(dataset.targets)
    assert shares.sum() == PORTRAITS[split]
    assert shares.max() - shares.min() <= 1
    index = int(re.search(r'(\d+)\.JPEG$', dataset.samples[0][0])[1]) - 1
    name = CLASSES[index % len(CLASSES)]
    image, target = dataset[0]
    assert dataset.classes[target] == WNIDS[name]
    scene = render_portrait((SEED, split, index), name, (48, 48))
    assert_same_picture(np.asarray(image)[..., ::-1], scene.image)

    pretrain = pytest.importorskip('mmpretrain.datasets')
    theirs = pretrain.CustomDataset(data_root=str(written['imagenet']), data_prefix=SPLITS[split])
    assert sorted((info['img_path'], info['gt_label']) for info in theirs) == sorted(dataset.samples)


# -- writing ------------------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_bytes_whatever_the_workers(written, tmp_path):
    expected = contents(written['coco'])
    assert contents(write('coco', tmp_path / 'two', workers=2)) == expected
    other = contents(write('coco', tmp_path / 'other', seed=SEED + 1))
    assert other.keys() == expected.keys()
    assert all(other[path] != expected[path] for path in expected)


def test_what_is_there_is_left_alone_and_nothing_else_is_overwritten(written, tmp_path, monkeypatch):
    def refuse(*_):
        raise AssertionError('rendered again')

    monkeypatch.setattr(writers, 'render_scene', refuse)
    assert write('coco', written['coco']) == written['coco']
    (tmp_path / 'mine.jpg').write_bytes(b'mine')
    for root, seed in ((tmp_path, SEED), (written['coco'], SEED + 1)):
        before = contents(root)
        with pytest.raises(FileExistsError, match='remove it or name another folder'):
            write('coco', root, seed=seed)
        assert contents(root) == before


def test_an_error_midway_leaves_nothing(tmp_path, monkeypatch):
    calls = []

    def break_off(*args):
        calls.append(args)
        if len(calls) == 3:
            raise OSError('disk full')
        return render_scene(*args)

    monkeypatch.setattr(writers, 'render_scene', break_off)
    with pytest.raises(OSError, match='disk full'):
        write('nyu', tmp_path / 'nyu')
    assert not any(tmp_path.iterdir())


def test_too_few_images_are_refused(tmp_path):
    with pytest.raises(ValueError, match='expected 1 or more per split in nyu'):
        WRITERS['nyu'](tmp_path / 'nyu', 1, 0)
    with pytest.raises(ValueError, match=f'expected {len(CLASSES)} .*imagenet'):
        WRITERS['imagenet'](tmp_path / 'imagenet', 100, len(CLASSES) - 1)
    assert not any(tmp_path.iterdir())
