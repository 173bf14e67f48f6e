"""What tests share: a trunk small enough for a CPU, of DINOv3's architecture family."""

import functools
import os
from pathlib import Path

import cv2
import pytest
import torch
from mmengine.config import utils
from safetensors.torch import save_file

from daga_mm.backbones import DAGAViT
from demo.scenes import render_scene

REPOSITORY = Path(__file__).parents[1]
# Small real data in the formats of ADE20K, COCO and NYU; not part of the repository, tests that need them skip.
SAMPLES = Path(os.environ.get('DAGA_MM_SAMPLES', REPOSITORY.parent / 'shared/data'))
TINY = dict(name='dinov3_vits16', embed_dim=48, depth=4, num_heads=3)


@pytest.fixture(scope='session', autouse=True)
def upstreams_metafiles_are_read_once():
    """mmengine reads all of a package's anew for each config that inherits from it, and that is most of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(utils, 'load', functools.cache(utils.load))
        yield


@pytest.fixture(scope='session')
def tiny():
    """Build a DAGAViT with a small random trunk and, unless ``fresh``, adapters that do something."""

    def build(fresh: bool = False, **kwargs) -> DAGAViT:
        torch.manual_seed(0)
        kwargs = {'arch': TINY, 'adapter': daga(), 'out_indices': (0, 1, 2, 3)} | kwargs
        model = DAGAViT(**kwargs)
        spread_out(model.trunk)
        if not fresh:
            train_adapters(model)
        return model.eval()

    return build


def daga(layers=(0, 2, 3), **options) -> dict:
    """DAGA as the config of an adapter."""
    return dict(type='DAGA', layers=layers, **options)


def train_adapters(model: DAGAViT) -> None:
    """Let adapters do something, as if trained: no weight of theirs is zero any more."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in model.adapters.parameters():
            if not parameter.any():
                parameter.copy_(0.1 * torch.randn(parameter.shape, generator=generator))


def write_trunk(path: Path, factor: float = 1.0) -> str:
    """A file with the weights of a small trunk, as timm publishes them, times ``factor``; its path."""
    model = DAGAViT(TINY)
    spread_out(model.trunk)
    state = model.trunk.model.state_dict()
    save_file({key: value * factor for key, value in state.items() if key != 'rope.periods'}, path)
    return str(path)


def spread_out(trunk: torch.nn.Module) -> None:
    """Give a random trunk attention that varies: fresh LayerScale and weights make every block a near-identity."""
    generator = torch.Generator().manual_seed(1)
    for name, parameter in trunk.named_parameters():
        if 'gamma' in name or 'norm' in name:
            continue
        with torch.no_grad():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * parameter[0].numel() ** -0.5)
    for name, parameter in trunk.named_parameters():
        if 'gamma' in name:
            torch.nn.init.constant_(parameter, 0.3)


@pytest.fixture(scope='session')
def models(tmp_path_factory) -> dict[str, tuple[Path, Path]]:
    """By task, the config and the checkpoint of a small model, with the trunk in it."""
    from .small_models import CONFIGS, save_model

    folder = tmp_path_factory.mktemp('models')
    return {task: save_model(task, folder / task) for task in CONFIGS}


@pytest.fixture(scope='session')
def pictures(tmp_path_factory) -> Path:
    """A folder of two images of 96×72 pixels, a.png and b.jpg."""
    folder = tmp_path_factory.mktemp('pictures')
    for index, name in enumerate(('a.png', 'b.jpg')):
        cv2.imwrite(str(folder / name), render_scene((9, index), (96, 72)).image[..., ::-1])
    return folder


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(2))


@pytest.fixture(scope='session')
def weights(tiny, tmp_path_factory) -> Path:
    """A checkpoint with a small trunk and DAGA modules that do something."""
    backbone = tiny(out_indices=(-1,), out_type='cls_avg')
    path = tmp_path_factory.mktemp('weights') / 'daga.pth'
    torch.save({'state_dict': {f'backbone.{key}': value for key, value in backbone.state_dict().items()}}, path)
    return path


@pytest.fixture(scope='session')
def prepare(weights, tmp_path_factory):
    """A function that writes a task's data and gives its small config, with a work dir of its own."""
    from .small_runs import small_config, write_data

    def prepare(task: str):
        folder = tmp_path_factory.mktemp(task)
        return small_config(task, write_data(task, folder / 'data'), weights, folder / 'run')

    return prepare
