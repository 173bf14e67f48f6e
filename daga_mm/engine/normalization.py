"""Check that images are normalised as they were when the trunk was pretrained."""

import logging
import re
from typing import Any

import torch
from mmengine.logging import print_log
from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.models import get_arch_pretrained_cfgs, is_model
from torch import nn

from ..backbones import find_backbones, unwrap

Normalization = tuple[tuple[float, ...], tuple[float, ...]]  # mean and standard deviation of RGB in 0..1

# By what published files, or the folders that they come in, have in their names (facebookresearch/dinov3, README.md).
PUBLISHED: dict[str, Normalization] = {
    'sat493m': ((0.430, 0.411, 0.296), (0.213, 0.156, 0.143)),
    'lvd1689m': (IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD),
    'lvd142m': (IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD),
    'dinov2_vit[sblg]14(?:_reg4)?_pretrain': (IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD),
}
TOLERANCE = 0.5  # of 255: rounded values are the same


def warn_of_normalization(model: nn.Module) -> None:
    """Warn of a ``data_preprocessor`` with another mean or deviation than the images of the pretraining.

    Nothing is said where that is not certain: of weights without a known name, of architectures whose published
    weights differ, and of images that the pipeline normalises.

    Args:
        model: The model of a run, wrapped or not, with its weights loaded.
    """
    model = unwrap(model)
    preprocessor: Any = getattr(model, 'data_preprocessor', None)
    if not getattr(preprocessor, '_enable_normalize', False):
        return
    found = torch.stack([preprocessor.mean.flatten(), preprocessor.std.flatten()]).cpu()  # (2, 3)
    for name, backbone in find_backbones(model).items():
        arch, trunk = backbone.arch, backbone.trunk_id
        if trunk is None:
            continue
        expected = [255 * torch.tensor(one) for one in _normalizations(arch, trunk.file)]
        if expected and not any(torch.allclose(found, one, rtol=0, atol=TOLERANCE) for one in expected):
            told = ' or '.join(_as_setting(one) for one in expected)
            print_log(
                f'model.data_preprocessor has {_as_setting(found)}, expected {told}, with which the weights of '
                f'model.{name} were pretrained ({arch} from {trunk.file}): set it, or ignore this '
                'if the difference is intended. The trunks of configs/_base_/dinov3.py have it as `normalization`',
                'current',
                logging.WARNING,
            )


def _normalizations(arch: str, file: str) -> list[Normalization]:
    """What the weights of a trunk in a file may have been pretrained with; empty if that is not known."""
    named = re.findall('|'.join(PUBLISHED), file)
    if named:  # the last is nearest to the file's own name
        return [one for pattern, one in PUBLISHED.items() if re.fullmatch(pattern, named[-1])]
    # Models of images and texts are not pretrained by their users: the weights are some that timm lists.
    if not re.search('clip|siglip', arch) or not is_model(arch):
        return []
    return sorted({(cfg.mean, cfg.std) for cfg in get_arch_pretrained_cfgs(arch).values()})


def _as_setting(normalization: torch.Tensor) -> str:
    """(2, 3) in 0..255 -> words of a config."""
    mean, std = ([round(value, 3) for value in part] for part in normalization.tolist())
    return f'mean={mean}, std={std}'
