"""A config and a checkpoint become predictions, the same as upstream's own."""

import copy
import json

import cv2
import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope
from PIL import Image

from daga_mm.apis import load
from daga_mm.cli.config import load_config
from daga_mm.errors import RunError

from ..conftest import REPOSITORY, write_trunk
from ..small_models import CONFIGS, save_model

TASKS = tuple(CONFIGS)


@pytest.fixture(scope='module', params=TASKS)
def task(request):
    return request.param


@pytest.fixture(scope='module')
def model(task, models):
    return load(*models[task], device='cpu')


def tensors(result) -> list[torch.Tensor]:
    """Every tensor of a result."""
    found, stack = [], [result.sample]
    while stack:
        for _, value in stack.pop().items():
            if isinstance(value, torch.Tensor):
                found.append(value)
            elif hasattr(value, 'items'):
                stack.append(value)
    assert found
    return found


def equal(first, second) -> bool:
    return all(torch.equal(a, b) for a, b in zip(tensors(first), tensors(second), strict=True))


def test_every_kind_of_image_gives_the_same(model, pictures):
    path = pictures / 'a.png'
    expected = model.predict(path)
    assert expected.path == str(path)
    array = cv2.imread(str(path))[..., ::-1]
    for image in (str(path), array, Image.open(path)):
        assert equal(model.predict(image), expected)
    assert np.array_equal(model.predict(array).image, array)
    several = model.predict(pictures, batch_size=2, progress=False)
    assert [result.path for result in several] == [str(pictures / 'a.png'), str(pictures / 'b.jpg')]
    listed = model.predict([path, array], progress=False)
    assert len(listed) == 2 and all(equal(result, expected) for result in listed)


def test_it_is_what_upstream_predicts(model, models, task, pictures):
    expected = UPSTREAM[task](*models[task], str(pictures / 'a.png'))
    result = model.predict(pictures / 'a.png')
    if task == 'detection':
        found = result.pred_instances
        assert (
            len(found) > 0 and torch.equal(found.bboxes, expected.bboxes) and torch.equal(found.masks, expected.masks)
        )
    else:
        name = {'segmentation': 'pred_sem_seg', 'depth': 'pred_depth_map', 'classification': 'pred_score'}[task]
        found = getattr(result, name)
        assert torch.equal(found if task == 'classification' else found.data, expected)


def detect(config, checkpoint, image):
    from mmdet.apis import inference_detector, init_detector

    return inference_detector(init_detector(load_config(config), str(checkpoint), device='cpu'), image).pred_instances


def segment(config, checkpoint, image):
    from mmseg.apis import inference_model, init_model

    read = load_config(config)
    steps = read.test_dataloader.dataset.pipeline
    read.test_pipeline = [step for step in steps if 'Annotation' not in step.type]  # where mmseg's function looks
    sample = inference_model(init_model(read, str(checkpoint), device='cpu'), image)
    return (sample.pred_depth_map if 'pred_depth_map' in sample else sample.pred_sem_seg).data


def classify(config, checkpoint, image):
    from mmpretrain import ImageClassificationInferencer

    init_default_scope('mmpretrain')
    (found,) = ImageClassificationInferencer(load_config(config), str(checkpoint), device='cpu')(image)
    return torch.tensor(found['pred_scores'])


UPSTREAM = dict(detection=detect, segmentation=segment, depth=segment, classification=classify)


def test_size_resizes_images_and_results_keep_theirs(model, pictures, task):
    seen = []
    hook = model.model.backbone.register_forward_pre_hook(lambda module, args: seen.append(tuple(args[0].shape)))
    result = model.predict(pictures / 'a.png', size=(64, 128))
    model.predict(pictures, batch_size=2, size=[32, 32], progress=False)
    model.predict(pictures / 'a.png')
    hook.remove()
    assert seen[:2] == [(1, 3, 64, 128), (2, 3, 32, 32)] and seen[2][2:] not in ((64, 128), (32, 32))
    shapes = {
        'detection': lambda: result.pred_instances.masks.shape[1:],
        'segmentation': lambda: result.pred_sem_seg.shape,
        'depth': lambda: result.pred_depth_map.shape,
    }
    assert task == 'classification' or shapes[task]() == (72, 96)


def test_features_are_what_the_neck_gets(model, pictures):
    seen = []
    hook = model.model.backbone.register_forward_hook(lambda module, args, output: seen.append(output))
    maps = model.features(pictures / 'a.png')
    model.predict(pictures / 'a.png')
    hook.remove()
    assert all(torch.equal(one, other[0]) for one, other in zip(maps, seen[1], strict=True))
    both = model.features(pictures, size=(64, 96), batch_size=2)
    assert len(both) == 2 and all(len(one) == len(maps) for one in both)


def test_half_precision_stays_close(models, task, pictures):
    model = load(*models[task], device='cpu', dtype='bfloat16')
    result = model.predict(pictures / 'a.png')
    assert all(one.dtype not in (torch.float16, torch.bfloat16) for one in tensors(result))
    exact = load(*models[task], device='cpu').features(pictures / 'a.png')
    for one, other in zip(model.features(pictures / 'a.png'), exact, strict=True):
        error = (one - other).norm() / other.norm()
        assert error < 0.05 and (error > 0 or torch.equal(one, exact[0]))  # the image itself is exact
    result.draw()


def test_it_is_drawn_and_saved(model, task, pictures, tmp_path):
    result = model.predict(pictures / 'a.png')
    picture = result.draw(tmp_path / 'new/picture.png', score=0)
    assert np.array_equal(np.asarray(Image.open(tmp_path / 'new/picture.png')), picture)
    if task == 'depth':
        assert picture.shape[0] > 480 and picture.shape[1] > 2 * 640
    else:
        assert picture.shape == (72, 96, 3)
        assert np.abs(picture.astype(int) - result.image).mean() > (0.5 if task == 'classification' else 5)
    file = result.save(tmp_path / 'made/by.name')
    assert file == tmp_path / f'made/by.name{".json" if task in ("detection", "classification") else ".png"}'
    CHECKS[task](file, result)


def check_detections(file, result):
    found = json.loads(file.read_text())
    assert len(found['bboxes']) == len(found['masks']) == len(result.pred_instances) > 0


def check_labels(file, result):
    labels = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
    assert labels.dtype == np.uint8 and np.array_equal(labels, result.pred_sem_seg.data[0].numpy())


def check_depth(file, result):
    millimetres = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
    assert millimetres.dtype == np.uint16
    np.testing.assert_allclose(millimetres / 1000, result.pred_depth_map.data[0].numpy(), atol=6e-4)


def check_class(file, result):
    found = json.loads(file.read_text())
    assert found['pred_label'] == int(result.pred_label) and found['pred_class'] == f'class {found["pred_label"]}'


CHECKS = dict(detection=check_detections, segmentation=check_labels, depth=check_depth, classification=check_class)


def test_depth_beyond_65_m_is_saved_in_kittis_steps(pictures, tmp_path):
    model = load(*save_model('depth', tmp_path, **{'model.decode_head.max_depth': 80}), device='cpu')
    file = model.predict(pictures / 'a.png').save(tmp_path / 'a')
    assert 20 < cv2.imread(str(file), cv2.IMREAD_UNCHANGED).mean() / 256 < 60, 'a random model sees the middle'


def test_a_result_is_the_sample_of_upstream(models, pictures):
    result = load(*models['classification'], device='cpu').predict(pictures / 'a.png')
    assert result.sample.pred_label is result.pred_label
    assert equal(copy.deepcopy(result), result)
    assert not hasattr(result, 'pred_sem_seg')


def test_a_config_goes_by_its_name_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    wanted = REPOSITORY / 'configs' / CONFIGS['depth']
    for name in (wanted.stem, wanted.name, f'configs/{CONFIGS["depth"]}', f'depth/{wanted.stem}'):
        assert load_config(name).filename.endswith(CONFIGS['depth'])
    for name in ('nyu', f'mmseg/{wanted.stem}', f'/{wanted.name}'):
        with pytest.raises(FileNotFoundError, match=f'no config {name}'):
            load_config(name)


def test_without_a_checkpoint_there_are_the_features_of_the_trunk(pictures, tmp_path):
    trunk = write_trunk(tmp_path / 'trunk.safetensors')
    config, _ = save_model('classification', tmp_path, trunk)
    model = load(config, device='cpu')
    assert model.model.backbone.trunk_id.file == trunk
    (feature,) = model.features(pictures / 'a.png')
    assert feature.shape == (96,) and feature.abs().sum() > 0
    with pytest.raises(RunError, match='without a checkpoint'):
        model.predict(pictures / 'a.png')


@pytest.mark.parametrize(
    ('arguments', 'error', 'message'),
    [
        (dict(config='nowhere'), FileNotFoundError, 'no config nowhere'),
        (dict(checkpoint='nowhere.pth'), FileNotFoundError, r'no checkpoint nowhere\.pth'),
        (dict(checkpoint=__file__), ValueError, 'was not loaded'),
        (dict(device='gpu0'), ValueError, 'device gpu0: .*Leave it out, or take cpu'),
        (dict(dtype='int8'), ValueError, "dtype is 'int8', expected 'float16', 'bfloat16' or None"),
        (dict(options={'model.head.num_classes': 12}), ValueError, 'is not a checkpoint of this model.*misshapen'),
        (dict(options={'default_scope': 'mmocr'}), ValueError, 'found a config of mmocr, expected one of mmdet'),
    ],
    ids=str,
)
def test_what_cannot_be_loaded_is_named(arguments, error, message, models):
    config, checkpoint = models['classification']
    with pytest.raises(error, match=message):
        load(**{'config': config, 'checkpoint': checkpoint, 'device': 'cpu'} | arguments)


def test_a_missing_trunk_is_named(tmp_path):
    trunk = write_trunk(tmp_path / 'trunk.safetensors')
    config, checkpoint = save_model('segmentation', tmp_path, trunk)
    (tmp_path / 'trunk.safetensors').rename(tmp_path / 'elsewhere.safetensors')
    with pytest.raises(FileNotFoundError, match=f'no weights at {trunk}'):
        load(config, checkpoint, device='cpu')


def test_arguments_of_a_prediction_that_do_not_fit_are_named(models, pictures, tmp_path):
    model = load(*models['segmentation'], device='cpu')
    for arguments, message in (
        (dict(size=640), r'size is 640, expected \(height, width\) in pixels'),
        (dict(size=(64, 0)), r'size is \(64, 0\), expected'),
        (dict(batch_size=0), 'batch_size is 0, expected a positive integer'),
    ):
        with pytest.raises(ValueError, match=message):
            model.predict(pictures / 'a.png', **arguments)
    other = np.zeros((64, 64, 3), np.uint8)
    with pytest.raises(ValueError, match='one size.*batch_size=1'):
        model.predict([pictures / 'a.png', other], batch_size=2, progress=False)
    (tmp_path / 'a.png').write_bytes(b'PNG')
    with pytest.raises(RunError, match=r'a\.png cannot be read'):
        model.predict([pictures / 'a.png', tmp_path / 'a.png'], progress=False)
