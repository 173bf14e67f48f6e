"""The configs in docs/small_data.md build, read their data set, and give losses."""

import re

import pytest
import torch
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import Runner

from daga_mm.cli.config import load_config

from ..conftest import REPOSITORY
from ..datasets.test_camvid import write_camvid
from ..tools.test_converter_pennfudan import pennfudan, write_pennfudan
from .shrink import shrink


def write(name, folder, monkeypatch):
    """A small data set of this name, as its config reads it."""
    if name == 'camvid':
        return write_camvid(folder / 'camvid')
    monkeypatch.setattr(pennfudan, 'IMAGES', 4)
    monkeypatch.setattr(pennfudan, 'TEST_IMAGES', 1)
    pennfudan.convert(write_pennfudan(folder / 'PennFudanPed', 4), folder / 'pennfudan')
    return folder / 'pennfudan'


@pytest.mark.parametrize(('name', 'losses'), [('camvid', 1), ('pennfudan', 5)])
def test_a_batch_gives_losses(name, losses, tmp_path, monkeypatch):
    page = (REPOSITORY / 'docs/small_data.md').read_text()
    blocks = re.findall(r'^```python\n(.*?)^```', page, flags=re.DOTALL | re.MULTILINE)
    (block,) = (block for block in blocks if f'_base_/{name}.py' in block)
    path = tmp_path / 'config.py'
    path.write_text(block.replace("'configs/", f"'{REPOSITORY}/configs/"))
    monkeypatch.setenv(f'{name.upper()}_ROOT', str(write(name, tmp_path, monkeypatch)))
    torch.manual_seed(0)
    config = shrink(load_config(path))
    config.train_dataloader.update(batch_size=2, num_workers=0, persistent_workers=False)
    for step in config.train_dataloader.dataset.pipeline:
        if 'scale' in step:
            step.scale = (96, 72)
    init_default_scope(config.default_scope)
    model = MODELS.build(config.model)
    batch = model.data_preprocessor(next(iter(Runner.build_dataloader(config.train_dataloader))), True)
    found = {key: value for key, value in model(**batch, mode='loss').items() if 'loss' in key}
    found = {key: torch.stack(value) if isinstance(value, list) else value for key, value in found.items()}
    assert len(found) == losses and all(value.isfinite().all() for value in found.values())
