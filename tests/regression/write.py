"""Train a small model of each task, publish it, and keep what it gives: what later releases must load and give.

    python -m tests.regression.write

It is run once for a release whose files differ from the last's, into a folder named after the version. Training is a
few steps on synthetic scenes: the models know nothing.
"""

import os
import shutil
import tempfile
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from mmengine.runner import Runner

import daga_mm
from daga_mm.apis import load
from daga_mm.apis.deployed import Deployed

from ..conftest import write_trunk
from ..small_runs import small_config, write_data
from ..tools.conftest import call, load_tool

HERE = Path(__file__).parent
ADAPTERS = {  # a checkpoint of each kind of adapter
    'detection': 'daga',
    'segmentation': 'lora',
    'depth': ['daga', 'adaptformer'],
    'classification': 'last_blocks',
}
NARROW = {  # files of a megabyte
    'detection': {'model.neck.0.conv_inplane': 16, 'model.roi_head.bbox_head.fc_out_channels': 32},
    'segmentation': {'model.neck.conv_inplane': 16},
}


def images() -> torch.Tensor:
    """Two images of noise, (2, 70, 90, 3), uint8."""
    return torch.randint(256, (2, 70, 90, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def outputs(published: Path) -> dict[str, np.ndarray]:
    """What a published model gives for `images`: logits, metres, or the neck's maps; every fifth row and column."""
    with mock.patch.dict(os.environ, DINOV3_CHECKPOINTS=str(published.parent)):  # where the trunk is
        model = load(published, device='cpu')
    found = Deployed(model.model, model.config)(images())
    return {name: value[..., ::5, ::5].numpy() for name, value in found.items() if value.is_floating_point()}


def main() -> None:
    release = HERE / daga_mm.__version__
    shutil.rmtree(release, ignore_errors=True)
    release.mkdir()
    trunk = write_trunk(release / 'trunk.safetensors')
    for task, adapter in ADAPTERS.items():
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            config = small_config(task, write_data(task, folder / 'data'), trunk, folder / 'run')
            config.model.backbone.adapter = adapter
            config.visualizer.name = config.experiment_name = task
            config.merge_from_dict(NARROW.get(task, {}))
            config.dump(folder / f'{task}.py')
            Runner.from_cfg(config).train()
            checkpoint = Path((folder / 'run/last_checkpoint').read_text())
            files = (folder / f'{task}.py', checkpoint, '--out', folder / 'published')
            assert call(load_tool('publish_model'), *files) is None
            (published,) = (folder / 'published').iterdir()
            shutil.copytree(published, release / task)
        np.savez_compressed(release / f'{task}.npz', **outputs(release / task))


if __name__ == '__main__':
    main()
