"""A run with the token cache: the same weights, blocks that run once per image, and what is refused at once."""

import itertools

import numpy as np
import pytest
import torch
from mmengine.dataset import Compose
from mmengine.model import BaseDataPreprocessor, BaseModel
from mmengine.structures import BaseDataElement
from torch.utils.data import Dataset

from daga_mm.backbones import DAGAViT
from daga_mm.engine import ExactResumeHook, Runner, TokenCacheHook
from daga_mm.errors import RunError

from ..conftest import TINY, daga, spread_out

NUMBERS = itertools.count()


class Pictures(Dataset):
    """Six fixed pictures, changed by ``change(picture)``, which draws from NumPy's generator as transforms do."""

    def __init__(self, change) -> None:
        self.change = change
        self.pipeline = Compose([])

    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> dict:
        picture = torch.randn(3, 32, 48, generator=torch.Generator().manual_seed(index))
        return {'inputs': self.change(picture), 'data_samples': BaseDataElement()}


def flip(picture: torch.Tensor) -> torch.Tensor:
    return picture.flip(-1) if np.random.rand() < 0.5 else picture  # noqa: NPY002


def shift(picture: torch.Tensor) -> torch.Tensor:
    return picture.roll(np.random.randint(32), 1)  # noqa: NPY002


class Sizes(BaseDataPreprocessor):
    """Pad to the largest picture of a batch, as detectors do."""

    def forward(self, data: dict, training: bool = False) -> dict:
        width = max(picture.shape[-1] for picture in data['inputs'])
        pictures = [torch.nn.functional.pad(p, (0, width - p.shape[-1])) for p in data['inputs']]
        return {**data, 'inputs': torch.stack(pictures)}


class Regression(BaseModel):
    def __init__(self, adapter, **kwargs) -> None:
        super().__init__(data_preprocessor=Sizes())
        torch.manual_seed(0)
        self.backbone = DAGAViT(TINY, adapter=adapter, **kwargs)
        spread_out(self.backbone.trunk)
        self.head = torch.nn.Conv2d(48, 1, 1)

    def forward(self, inputs, data_samples=None, mode='tensor'):
        return {'loss': self.head(self.backbone(inputs)[-1]).square().mean()}


def train(folder, model: Regression, change, cache: TokenCacheHook | None) -> tuple[dict, int]:
    """Three epochs; the weights at the end, and how often block 0 ran."""
    runs = []
    model.backbone.trunk.model.blocks[0].register_forward_hook(lambda *_: runs.append(0))
    runner = Runner(
        model,
        str(folder),
        train_dataloader=dict(
            dataset=Pictures(change), batch_size=2, num_workers=0, collate_fn=dict(type='pseudo_collate'),
            sampler=dict(type='daga_mm.DefaultSampler', shuffle=True),
        ),
        train_cfg=dict(by_epoch=True, max_epochs=3),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
        default_hooks=dict(checkpoint=None),
        custom_hooks=[ExactResumeHook(), *([cache] if cache else [])],
        randomness=dict(seed=0),
        log_level='ERROR',
        experiment_name=f'cache_{next(NUMBERS)}',
    )  # fmt: skip
    runner.train()
    return {key: value.clone() for key, value in model.state_dict().items()}, len(runs)


@pytest.mark.parametrize('change', [lambda picture: picture, flip], ids=['fixed', 'flipped'])
@pytest.mark.parametrize('adapter', [None, daga((2, 3))], ids=['frozen', 'DAGA'])
def test_a_run_ends_with_the_same_weights(adapter, change, tmp_path):
    expected, uncached = train(tmp_path / 'a', Regression(adapter), change, None)
    cache = str(tmp_path / 'tokens')
    found, runs = train(tmp_path / 'b', Regression(adapter), change, TokenCacheHook(cache))
    again, none = train(tmp_path / 'c', Regression(adapter), change, TokenCacheHook(cache))
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value, atol=1e-6, rtol=1e-5, msg=key)
        assert torch.equal(found[key], again[key]), key
    assert uncached == 9 and runs <= uncached and none == 0
    if change is not flip:
        assert runs <= 4, 'one look before training, then the first epoch'


@pytest.mark.parametrize(
    ('model', 'change', 'options', 'message'),
    [
        (dict(adapter=None), shift, {}, 'other pixels each time'),
        (dict(adapter='lora'), flip, {}, 'every block of this backbone is trained or adapted'),
        (dict(adapter=None, frozen=False), flip, {}, 'every block of this backbone is trained or adapted'),
        (dict(adapter=None), flip, dict(max_bytes=1e3), r'needs about .* GB .*max_bytes'),
    ],
)
def test_what_a_cache_cannot_serve_is_said_before_the_first_step(model, change, options, message, tmp_path):
    with pytest.raises(RunError, match=message):
        train(tmp_path / 'run', Regression(**model), change, TokenCacheHook(str(tmp_path / 'tokens'), **options))


def test_padding_to_the_largest_of_a_batch_is_refused(tmp_path):
    first = torch.randn(3, 32, 48, generator=torch.Generator().manual_seed(0))

    def narrow(picture: torch.Tensor) -> torch.Tensor:
        return picture[..., :32] if torch.equal(picture, first) else picture

    with pytest.raises(RunError, match='padding to the largest image of a batch'):
        train(tmp_path / 'run', Regression(None), narrow, TokenCacheHook(str(tmp_path / 'tokens')))


def test_without_a_daga_vit_it_has_nothing_to_do(tmp_path):
    model = Regression(None)
    model.backbone = torch.nn.Identity()
    with pytest.raises(RunError, match='this model has none'):
        TokenCacheHook(str(tmp_path))._install(type('Runner', (), {'model': model}))
