"""The configs in docs/small_data.md build, read their data set, and give losses."""

import re

import cv2
import numpy as np
import pytest
import torch
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import Runner

from daga_mm.cli.config import load_config
from daga_mm.cli.data import require_data

from ..conftest import REPOSITORY
from ..datasets.test_camvid import write_camvid
from ..tools.conftest import load_converter
from .shrink import shrink


def write_pennfudan(folder, monkeypatch):
    """Two training images and one test image of 60×40 with two pedestrians each, converted."""
    converter = load_converter('pennfudan')
    monkeypatch.setattr(converter, 'COUNT', 3)
    monkeypatch.setattr(converter, 'TEST_COUNT', 1)
    source, mask = folder / 'PennFudanPed', np.zeros((40, 60), np.uint8)
    mask[2:37, 4:20], mask[1:38, 30:50] = 1, 2
    for kind, pixels, ending in (('PNGImages', np.full((40, 60, 3), 90, np.uint8), ''), ('PedMasks', mask, '_mask')):
        (source / kind).mkdir(parents=True)
        for number in range(1, 4):
            cv2.imwrite(str(source / kind / f'FudanPed{number:05d}{ending}.png'), pixels)
    converter.convert(source, folder / 'pennfudan')
    return folder / 'pennfudan'


@pytest.mark.parametrize(('name', 'losses', 'classes'), [('camvid', 1, 11), ('pennfudan', 5, 1)])
def test_a_batch_gives_losses(name, losses, classes, tmp_path, monkeypatch):
    page = (REPOSITORY / 'docs/small_data.md').read_text()
    blocks = re.findall(r'^```python\n(.*?)^```', page, flags=re.DOTALL | re.MULTILINE)
    (block,) = (block for block in blocks if f'_base_/{name}.py' in block)
    path = tmp_path / 'config.py'
    path.write_text(block)
    root = write_camvid(tmp_path) if name == 'camvid' else write_pennfudan(tmp_path, monkeypatch)
    monkeypatch.setenv(f'{name.upper()}_ROOT', str(root))
    config = load_config(path)
    require_data(config, 'train', 'val', 'test')
    torch.manual_seed(0)
    config = shrink(config)
    config.train_dataloader.update(batch_size=2, num_workers=0, persistent_workers=False)
    for step in config.train_dataloader.dataset.pipeline:
        if 'scale' in step:
            step.scale = (96, 72)
    init_default_scope(config.default_scope)
    model = MODELS.build(config.model)
    loader = Runner.build_dataloader(config.train_dataloader)
    assert len(loader.dataset.metainfo['classes']) == classes
    batch = model.data_preprocessor(next(iter(loader)), True)
    found = {key: value for key, value in model(**batch, mode='loss').items() if 'loss' in key}
    found = {key: torch.stack(value) if isinstance(value, list) else value for key, value in found.items()}
    assert len(found) == losses and all(value.isfinite().all() for value in found.values())
