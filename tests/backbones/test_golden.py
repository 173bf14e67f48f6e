"""Numerical parity with the official DINOv3 and DINOv2 implementations, without their checkpoints.

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
from pseudo_weights import pseudo_images, pseudo_state_dict  # noqa: E402  (they lie beside their data)
from record_dinov2 import TINY_GIANT  # noqa: E402

TRUNKS = {
    'dinov3_vits16': 'dinov3_vits16',
    'dinov3_vitb16': 'dinov3_vitb16',
    'dinov3_vitl16': 'dinov3_vitl16',
    'dinov2_vits14': 'vit_small_patch14_dinov2',
    'dinov2_vits14_reg4': 'vit_small_patch14_reg4_dinov2',
    'dinov2_vitg14_tiny': dict(name='vit_giant_patch14_dinov2', **TINY_GIANT),
}
SLOW = ('dinov3_vitb16', 'dinov3_vitl16')


@pytest.mark.parametrize('official', [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in TRUNKS])
def test_features_and_guidance_equal_the_official_implementation(official, tmp_path):
    torch.save(pseudo_state_dict(official.split('_', 1)[1], seed=0), tmp_path / 'official.pth')
    init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'official.pth'))
    out_indices = (0, 1) if 'tiny' in official else None
    model = DAGAViT(TRUNKS[official], adapter=None, out_indices=out_indices, init_cfg=init_cfg)
    model.init_weights()
    golden = np.load(GOLDEN / f'{official}_seed0.npz')
    for size in {key.split('/')[0] for key in golden}:
        height, width = map(int, size.split('x'))
        images = pseudo_images(height, width, seed=0)[: golden[f'{size}/cls'].shape[1]]
        with torch.no_grad():
            model.out_type = 'featmap'
            maps = torch.stack(model(images))
            model.out_type = 'cls_token'
            class_tokens = torch.stack(model(images))
            row = model.guidance_map(images, normalize=False)
        for ours, kind in [
            (maps[:, :, ::16, ::3, ::3], 'patch'),
            (class_tokens[:, :, ::8], 'cls'),
            (row, 'cls_attn_last'),
        ]:
            expected = torch.from_numpy(golden[f'{size}/{kind}'])
            torch.testing.assert_close(ours, expected, atol=1e-5, rtol=0, msg=lambda m, kind=kind: f'{kind}: {m}')
