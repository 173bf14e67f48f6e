"""Exported files give what the model gives, and none is written that does not."""

import json
import re
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from PIL import Image
from torch import nn

from daga_mm.apis import export, load
from daga_mm.apis.adaptive_pool import AdaptivePool
from daga_mm.apis.deployed import Deployed
from daga_mm.apis.export import _deviations
from daga_mm.errors import RunError

from ..conftest import REPOSITORY
from ..small_models import CONFIGS, HEADS, save_model

WHOLE = {
    'classification': {'logits'},
    'segmentation': {'labels', 'logits'},
    'upernet': {'labels', 'logits'},
    'mask2former': {'labels', 'logits'},
    'depth': {'depth'},
    'dpt': {'depth'},
    'dino': {'boxes', 'scores', 'labels'},
    'detection': {'map0', 'map1', 'map2', 'map3', 'map4'},
}


def operators(file: Path) -> set[str]:
    return {node.op_type for node in onnx.load(file).graph.node}


def test_a_dynamic_graph_takes_any_size_and_number_of_images(models, tmp_path, monkeypatch):
    model = load(*models['segmentation'], device='cpu')
    deviations = export(model, tmp_path / 'model.onnx', size=(64, 96), dynamic=True)
    assert deviations.keys() == WHOLE['segmentation'] and max(deviations.values()) <= 1e-4
    assert [file.name for file in tmp_path.iterdir()] == ['model.onnx']
    session = onnxruntime.InferenceSession(tmp_path / 'model.onnx')
    images = torch.randint(256, (5, 45, 83, 3), dtype=torch.uint8)
    labels, logits = session.run(None, {'images': images.numpy()})
    with torch.no_grad():
        expected = Deployed(model.model, model.config).upstream(images)
    np.testing.assert_allclose(logits, expected['logits'], atol=1e-5)
    assert (labels == expected['labels'].numpy()).mean() > 0.999
    about = session.get_modelmeta().custom_metadata_map
    assert about['task'] == 'segmentation' and json.loads(about['classes']) == list(model.classes)
    assert not operators(tmp_path / 'model.onnx') & {'Loop', 'If', 'GridSample'}
    Image.fromarray(images[0].numpy()).save(tmp_path / 'street.jpg')
    monkeypatch.chdir(tmp_path)
    exec(re.findall(r'```python\n(.*?)```', (REPOSITORY / 'docs/deploy.md').read_text(), re.S)[0], {})
    assert np.asarray(Image.open('labels.png')).shape == (512, 512)


def test_lora_is_merged_into_a_program_and_the_model_stays_as_it_is(tmp_path):
    model = load(*save_model('depth', tmp_path, backbone=dict(adapter='lora')), device='cpu')
    before = {key: value.clone() for key, value in model.model.state_dict().items()}
    assert export(model, tmp_path / 'model.pt2', 'pt2', size=(48, 80))['depth'] <= 1e-4
    program = torch.export.load(tmp_path / 'model.pt2')
    kept = {name for name, _ in program.named_parameters()}
    assert any('trunk' in name for name in kept) and not any('adapters' in name for name in kept)
    assert all(torch.equal(value, before[key]) for key, value in model.model.state_dict().items())


def test_a_file_that_deviates_is_not_written(models, tmp_path, monkeypatch):
    model = load(*models['classification'], device='cpu')
    upstream = Deployed.upstream
    monkeypatch.setattr(Deployed, 'upstream', lambda *args: {k: v + 0.01 for k, v in upstream(*args).items()})
    with pytest.raises(RunError, match=r'model.pt2 is not written.* logits 1\.0e-02'):
        export(model, tmp_path / 'model.pt2', 'pt2', size=(32, 32))
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_exported_is_refused(models, tmp_path):
    model = load(*models['classification'], device='cpu')
    with pytest.raises(ValueError, match="'tflite', expected one of onnx, pt2"):
        export(model, tmp_path / 'model', 'tflite')
    with pytest.raises(ValueError, match='size is 64, expected'):
        export(model, tmp_path / 'model.pt2', 'pt2', size=64)
    mask2former = load(*save_model('mask2former', tmp_path), device='cpu')
    with pytest.raises(ValueError, match='leave out dynamic'):
        export(mask2former, tmp_path / 'model.onnx', dynamic=True)


def test_classes_deviate_by_their_logits_and_objects_only_where_their_order_is_certain():
    logits = torch.tensor([0.3, 0.30005, 0.1]).view(1, 3, 1, 1)
    reference = {'labels': logits.argmax(1), 'logits': logits}
    found = [_deviations([reference], [[torch.full((1, 1, 1), label), logits]])['labels'] for label in range(3)]
    assert found == [pytest.approx(5e-5, rel=1e-2), 0, pytest.approx(0.20005)]
    scores = torch.tensor([[0.9, 0.5, 0.50001, 0.2, 0.1]])
    objects = {'boxes': torch.arange(20.0).view(1, 5, 4) / 20, 'scores': scores}
    swapped = objects['boxes'][:, [0, 2, 1, 3, 4]]
    assert _deviations([objects], [[swapped, scores]]) == {'boxes': 0, 'scores': 0}
    wrong = objects['boxes'][:, [3, 1, 2, 0, 4]]
    assert _deviations([objects], [[wrong, scores]])['boxes'] > 0.5
    nan = [[torch.full_like(objects['boxes'], torch.nan), scores], [objects['boxes'], scores]]
    assert np.isnan(_deviations([objects, objects], nan)['boxes'])


@pytest.mark.parametrize('size', [(6, 9), (7, 11), (2, 3), (1, 1)])
@pytest.mark.parametrize('parts', [1, 2, 3, 6, (2, None)])
def test_pooling_as_products_equals_torchs(size, parts):
    x = torch.randn(2, 3, *size)
    pool = nn.AdaptiveAvgPool2d(parts)
    torch.testing.assert_close(AdaptivePool(pool)(x), pool(x))


@pytest.mark.slow
@pytest.mark.parametrize('task', [*CONFIGS, *HEADS])
def test_every_kind_of_head_becomes_a_graph(task, tmp_path):
    model = load(*save_model(task, tmp_path), device='cpu')
    fixed = task in ('mask2former', 'dino')  # their sizes are constants
    size = (200, 280) if task == 'dino' else (70, 90)
    deviations = export(model, tmp_path / 'model.onnx', size=size, dynamic=not fixed)
    assert deviations.keys() == WHOLE[task] and max(deviations.values()) <= 1e-4
    assert not operators(tmp_path / 'model.onnx') & {'Loop', 'If', 'GridSample'}
