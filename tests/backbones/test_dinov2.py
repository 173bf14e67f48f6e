import pytest
import torch

from daga_mm.backbones import build_trunk
from daga_mm.backbones.checkpoints import load_trunk
from daga_mm.backbones.dinov2_positions import resample_positions

SMALL = dict(embed_dim=48, depth=1, num_heads=3, img_size=56)


@pytest.fixture
def positions() -> torch.Tensor:
    return torch.randn(1, 1 + 4 * 4, 48, generator=torch.Generator().manual_seed(0))


def test_positions_of_their_own_grid_are_untouched(positions):
    assert resample_positions(positions, (4, 4)) is positions


@pytest.mark.parametrize('grid', [(3, 4), (2, 8), (7, 9), (1, 1)])
def test_class_position_stays_and_half_precision_is_resampled_in_float32(positions, grid):
    half = positions.bfloat16()
    resampled = resample_positions(half, grid)
    assert resampled.shape == (1, 1 + grid[0] * grid[1], 48)
    assert torch.equal(resampled[:, 0], half[:, 0])
    assert torch.equal(resampled, resample_positions(half.float(), grid).bfloat16())


@pytest.mark.parametrize('name', ['vit_small_patch14_dinov2', 'vit_small_patch14_reg4_dinov2'])
def test_positions_of_another_grid_are_refused_not_resampled_by_timm(name):
    state = build_trunk(dict(SMALL, name=name, img_size=70)).model.state_dict()
    trunk = build_trunk(dict(SMALL, name=name))
    with pytest.raises(ValueError, match=f'5×5 .*{name} .*4×4.*img_size=70'):
        load_trunk(trunk, state, 'a test')


def test_names_with_a_tag_of_timm_are_dinov2_too():
    trunk = build_trunk(dict(SMALL, name='vit_small_patch14_dinov2.lvd142m'))
    images = torch.randn(1, 3, 42, 70)
    assert not torch.equal(trunk.embed(images)[0], trunk.model._pos_embed(trunk.model.patch_embed(images)))
