"""Numerical parity with the official DINOv3 implementation, without the gated checkpoints.

tests/data/golden holds what the official code computes with weights that anybody can rebuild.
"""

import sys

import numpy as np
import pytest
import torch

from daga_mm.backbones import DAGAViT

from ..conftest import REPOSITORY

GOLDEN = REPOSITORY / 'tests/data/golden'
sys.path.append(str(GOLDEN))
from pseudo_weights import pseudo_images, pseudo_state_dict  # noqa: E402  (it lies beside its data)


@pytest.mark.parametrize(
    'arch', ['vits16', *(pytest.param(big, marks=pytest.mark.slow) for big in ('vitb16', 'vitl16'))]
)
def test_features_and_guidance_equal_the_official_implementation(arch, tmp_path):
    torch.save(pseudo_state_dict(arch, seed=0), tmp_path / 'official.pth')
    init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'official.pth'))
    model = DAGAViT(f'dinov3_{arch}', adapter=None, init_cfg=init_cfg)
    model.init_weights()
    golden = np.load(GOLDEN / f'dinov3_{arch}_seed0.npz')
    for size in {key.split('/')[0] for key in golden}:
        height, width = map(int, size.split('x'))
        images = pseudo_images(height, width, seed=0)
        with torch.no_grad():
            model.out_type = 'featmap'
            maps = torch.stack(model(images))
            model.out_type = 'cls_token'
            class_tokens = torch.stack(model(images))
            row = model.guidance_map(images, normalize=False)
        for ours, official in [
            (maps[:, :, ::16, ::3, ::3], 'patch'),
            (class_tokens[:, :, ::8], 'cls'),
            (row, 'cls_attn_last'),
        ]:
            expected = torch.from_numpy(golden[f'{size}/{official}'])
            torch.testing.assert_close(ours, expected, atol=1e-5, rtol=0, msg=lambda m, o=official: f'{o}: {m}')
