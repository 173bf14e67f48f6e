"""Pictures of attention, from the command line."""

import shutil

import cv2
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from demo.scenes import render_scene

from ..configs.shrink import shrink
from ..conftest import REPOSITORY
from .conftest import call, load_tool

CONFIG = REPOSITORY / 'configs/mmpretrain/image-classifier_daga-vits16_linear_8xb128-30e_cifar10.py'


@pytest.fixture(scope='module')
def attention():
    return load_tool('analysis_tools/attention')


@pytest.fixture(scope='module')
def place(tmp_path_factory):
    """A folder with a small config, a checkpoint of it, and a folder of two images."""
    folder = tmp_path_factory.mktemp('attention')
    config = shrink(Config.fromfile(CONFIG))
    config.dump(folder / 'config.py')
    init_default_scope(config.default_scope)
    torch.manual_seed(0)
    model = MODELS.build(config.model)
    torch.save({'state_dict': model.state_dict()}, folder / 'run.pth')
    torch.save({'state_dict': model.backbone.trunk.model.state_dict()}, folder / 'trunk.pth')
    (folder / 'images').mkdir()
    for index, name in enumerate(('a.png', 'b.jpg')):
        cv2.imwrite(str(folder / 'images' / name), render_scene((9, index), (96, 72)).image[..., ::-1])
    return folder


def test_every_picture_of_a_folder(attention, place, tmp_path, capsys):
    arguments = [place / 'config.py', place / 'run.pth', place / 'images', '--out', tmp_path, '--device', 'cpu']
    assert call(attention, *arguments, '--blocks', '--heads', -1) is None
    kinds = ('attention', 'features', 'blocks', 'heads')
    expected = {f'{name}_{kind}.png' for name in 'ab' for kind in kinds} | {'gates.png'}
    assert {path.name for path in tmp_path.iterdir()} == expected
    assert all(cv2.imread(str(path)).std() > 10 for path in tmp_path.iterdir())
    assert capsys.readouterr().out.endswith(f'pictures of 2 images in {tmp_path}\n')


def test_the_images_are_those_that_the_model_gets(attention, place):
    config = Config.fromfile(place / 'config.py')
    image = attention.read_image(str(place / 'images/a.png'), None)
    assert image.shape == (72, 96, 3)
    assert attention.read_image(str(place / 'images/a.png'), 48).shape == (36, 48, 3)
    preprocessor = MODELS.build(config.model.data_preprocessor)
    blue_first = torch.from_numpy(image[..., ::-1].copy()).permute(2, 0, 1)[None]
    torch.testing.assert_close(
        attention.normalise(image, config), preprocessor(dict(inputs=blue_first, data_samples=None))['inputs']
    )


def test_a_broken_image_is_named_and_the_others_are_drawn(attention, place, tmp_path, capsys):
    folder, out = tmp_path / 'images', tmp_path / 'out'
    shutil.copytree(place / 'images', folder)
    (folder / 'a.png').write_bytes(b'no image')
    (folder / 'c.jpg').write_bytes(b'')
    said = call(attention, place / 'config.py', place / 'run.pth', folder, '--out', out, '--device', 'cpu')
    first, second = said.splitlines()
    assert 'a.png cannot be read as an image: it is damaged' in first and second.endswith('c.jpg is empty')
    assert {path.name for path in out.iterdir()} == {'b_attention.png', 'b_features.png', 'gates.png'}
    assert 'pictures of 1 images in' in capsys.readouterr().out


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (('run.pth', 'nowhere'), 'no image at '),
        (('run.pth', 'images', 'images/a.png'), 'images have one name'),
        (('run.pth', 'config.py'), 'config.py is not a supported image'),
        (('gone.pth', 'images'), 'no checkpoint gone.pth'),
        (('trunk.pth', 'images'), 'trunk.pth is no checkpoint of a run: the weights of a trunk alone go by '),
        (('run.pth', 'images', '--block', '4'), '--block 4: dinov3_vits16 runs blocks 0 to 3'),
        (('run.pth', 'images', '--cfg-options', 'model.backbone.adapter=lora'), 'run.pth is not of this config'),
    ],
    ids=str,
)
def test_one_line_says_what_is_wrong(arguments, message, attention, place, tmp_path, monkeypatch):
    monkeypatch.chdir(place)
    assert message in call(attention, 'config.py', *arguments, '--out', tmp_path / 'out', '--device', 'cpu')
