"""The other trunks in docs/weights.md: timm lists them as the page says, and its files load."""

import re

import pytest
import timm
import torch
from safetensors.torch import save_file

from daga_mm.backbones import DAGAViT

from .conftest import REPOSITORY

PAGE = (REPOSITORY / 'docs/weights.md').read_text()
ROWS = re.findall(
    r'^\| `(\w+\.\w+)` \| (\d+) \| (14|16) \| (.+?) \| (Apache 2.0|MIT|CC BY-NC 4.0) \|', PAGE, flags=re.MULTILINE
)
MEANS = {"ImageNet's": 0.485, '0.5, 0.5': 0.5, "CLIP's": 0.48145466}  # of red


@pytest.mark.parametrize(('name', 'channels', 'patch', 'normalization', 'licence'), ROWS, ids=[row[0] for row in ROWS])
def test_the_trunk_is_what_the_page_says_and_loads(name, channels, patch, normalization, licence, tmp_path):
    arch, config = name.split('.')[0], timm.get_pretrained_cfg(name)
    assert config.hf_hub_id == f'timm/{name}' and config.license == licence.lower().replace(' ', '-')
    assert config.mean[0] == MEANS[normalization]
    published = timm.create_model(arch, depth=1, num_classes=config.num_classes)  # a block: it loads faster
    save_file(published.state_dict(), tmp_path / 'model.safetensors')
    weights = dict(type='Pretrained', checkpoint=str(tmp_path / 'model.safetensors'))
    model = DAGAViT(
        dict(name=arch, depth=1), adapter=dict(type='DAGA', layers=(0,)), out_indices=(0,), init_cfg=weights
    )
    model.init_weights()
    assert (model.embed_dims, model.patch_size) == (int(channels), int(patch))
    with torch.no_grad():
        (found,) = model.eval()(torch.zeros(1, 3, 2 * int(patch), 3 * int(patch)))
    assert found.shape == (1, int(channels), 2, 3)


def test_the_page_has_clips_normalization():
    config = timm.get_pretrained_cfg('vit_base_patch16_clip_224.openai')
    for values in (config.mean, config.std):
        assert '[' + ','.join(f'{255 * value:.3f}' for value in values) + ']' in PAGE


def test_the_table_is_read():
    assert len(ROWS) == 10
