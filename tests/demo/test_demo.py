"""The demo itself, cut short, and the trunk it stands on."""

import json

import cv2
import pytest
import torch
from mmengine.registry import init_default_scope
from safetensors import safe_open

from daga_mm.cli.config import load_config
from daga_mm.registry import MODELS
from demo.scenes import render_scene, write_coco, write_nyu

from ..conftest import REPOSITORY
from ..tools.conftest import load_tool, run_script

TRUNK = REPOSITORY / 'demo/trunk/vit_scenes.safetensors'


def run(script: str, *arguments) -> str:
    """What a script prints that succeeds wherever it is started."""
    result = run_script(script, *arguments, cwd='/')
    assert result.returncode == 0, result.stderr[-3000:]
    return result.stdout


def test_the_demo_trains_three_methods_and_draws_a_picture(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(REPOSITORY / 'demo'))
    import scenes  # as the demo imports it

    def few(root, train, val, seed, size, workers):
        return write_nyu(root, 8, 18, seed=seed, size=size)  # the picture shows the 18th

    monkeypatch.setattr(scenes, 'write_nyu', few)
    options = ['--iterations', 4, '--out', tmp_path / 'out', '--data', tmp_path / 'data']
    out = run('demo/demo.py', *options)
    assert 'synthetic' in out and all(f'{method:6}     4 of 4' in out for method in ('frozen', 'DAGA', 'full'))
    rows = json.loads((tmp_path / 'out/demo.json').read_text())['rows']
    assert [row['method'] for row in rows] == ['frozen', 'DAGA', 'full']
    frozen, daga, full = rows
    assert 5 * frozen['trained_parameters'] < daga['trained_parameters'] < full['trained_parameters'] / 5
    assert all(
        0 < row['d1'] < 1 and row['rmse'] > 0 and row['seconds_per_iteration'] > 0 for row in (frozen, daga, full)
    )
    assert frozen['rmse'] != daga['rmse'] != full['rmse']
    assert cv2.imread(str(tmp_path / 'out/demo.png')).shape[1] > 1000


def test_the_trunk_is_small_and_looks_at_things():
    assert TRUNK.stat().st_size < 3e6
    with safe_open(TRUNK, 'pt') as file:
        assert float(file.metadata()['accuracy']) > 0.5
    model = MODELS.build(load_config(REPOSITORY / 'demo/depth_scenes.py').model.backbone)
    model.init_weights()
    scenes = [render_scene((5, 1, i), (192, 144)) for i in range(8)]
    images = torch.stack([torch.from_numpy(scene.image.copy()).permute(2, 0, 1).float() for scene in scenes])
    mean, std = torch.tensor([123.675, 116.28, 103.53]), torch.tensor([58.395, 57.12, 57.375])
    attention = model.guidance_map((images - mean[:, None, None]) / std[:, None, None], normalize=False)
    objects = torch.stack([torch.from_numpy(scene.instance > 0) for scene in scenes]).float()
    share = torch.nn.functional.avg_pool2d(objects[:, None], model.patch_size)[:, 0]  # of each patch that is an object
    weight = attention / attention.sum(dim=(1, 2), keepdim=True)
    seen, chance = (weight * share).sum(dim=(1, 2)).mean(), share.mean()
    assert seen > 1.3 * chance, f'{seen:.2f} of the attention is on objects, which fill {chance:.2f} of the pictures'


def test_the_trunk_of_real_images_is_small_and_loads(tmp_path):
    path = REPOSITORY / 'demo/trunk/vit_cifar10.safetensors'
    assert path.stat().st_size < 5e6
    with safe_open(path, 'pt') as file:
        assert float(file.metadata()['accuracy']) > 0.8
    for config in ('cifar10_classifier', 'cifar10_knn'):
        model = MODELS.build(load_config(REPOSITORY / f'demo/{config}.py').model.backbone)
        model.init_weights()
        assert model(torch.zeros(1, 3, 32, 32))[0].shape == (1, 256)


def test_the_trunk_can_be_trained_again(tmp_path):
    options = ['--per-class', 1, '--epochs', 1, '--batch-size', 7, '--data', tmp_path / 'data']
    out = run('demo/train_trunk.py', 'scenes', *options, '--out', tmp_path / 'trunk.safetensors')
    assert 'epoch 1 of 1' in out and 'fingerprint' in out
    with safe_open(tmp_path / 'trunk.safetensors', 'pt') as new, safe_open(TRUNK, 'pt') as ours:
        assert set(new.keys()) == set(ours.keys())


def test_the_detectors_classes_have_the_names_of_their_labels(tmp_path):
    from daga_mm.registry import DATASETS

    config = load_config(REPOSITORY / 'demo/mask_rcnn_scenes.py')
    init_default_scope('mmdet')
    root = str(write_coco(tmp_path / 'coco', 1, 6, seed=2, size=(96, 72)))
    dataset = DATASETS.build(config.val_dataloader.dataset.to_dict() | dict(data_root=root))
    annotations = json.loads((tmp_path / 'coco/annotations/instances_val2017.json').read_text())
    names = {category['id']: category['name'] for category in annotations['categories']}
    assert [names[number] for number in dataset.cat_ids] == list(dataset.metainfo['classes'])
    assert len(dataset.cat_ids) == config.model.roi_head.bbox_head.num_classes


@pytest.mark.slow
def test_three_tasks_are_trained_and_drawn_on_one_trunk(tmp_path):
    arguments = ['--short', '--scenes', 5, '--out', tmp_path / 'out', '--data', tmp_path / 'data']
    assert 'blocks of eight that run once: 7' in run('demo/many_tasks.py', *arguments)
    assert cv2.imread(str(tmp_path / 'out/tasks.png')).shape[1] > 1000
    (checkpoint,) = tmp_path.glob('out/tasks/depth/*.pth')
    written = checkpoint.stat().st_mtime_ns
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(REPOSITORY / 'demo'))
        demo = load_tool('../demo/many_tasks')
    config, found = demo.train('depth', tmp_path / 'data', tmp_path / 'out/tasks', 5, short=True)
    assert (config.name, found) == ('depth.py', checkpoint) and checkpoint.stat().st_mtime_ns == written, (
        'trained again'
    )
