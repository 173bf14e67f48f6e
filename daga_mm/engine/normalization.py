"""Check that images are normalised as they were when the trunk was pretrained."""

import logging
import re
from typing import Any

import torch
from mmengine.logging import print_log
from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.models import get_arch_pretrained_cfgs, is_model
from torch import nn

from ..backbones import DAGAViT, unwrap

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
    for name, backbone in model.named_modules():
        known = _normalizations(backbone) if isinstance(backbone, DAGAViT) else []
        expected = [255 * torch.tensor(one) for one in known]
        if expected and not any(torch.allclose(found, one, rtol=0, atol=TOLERANCE) for one in expected):
            told = ' or '.join(_as_setting(one) for one in expected)
            print_log(
                f'model.data_preprocessor has {_as_setting(found)}, expected {told}, with which the weights of '
                f'model.{name} were pretrained ({_origin(backbone)}): set it, or ignore this if the difference is '
                'intended. The trunks of configs/_base_/dinov3.py have it as `normalization`',
                'current',
                logging.WARNING,
            )


def _normalizations(backbone: Any) -> list[Normalization]:
    """What the weights of a trunk may have been pretrained with; empty if that is not known."""
    if backbone.trunk_id is None:
        return []
    named = re.findall('|'.join(PUBLISHED), backbone.trunk_id.file)
    if named:  # the last is nearest to the file's own name
        return [one for pattern, one in PUBLISHED.items() if re.fullmatch(pattern, named[-1])]
    # Models of images and texts are not pretrained by their users: the weights are some that timm lists.
    if not re.search('clip|siglip', backbone.arch) or not is_model(backbone.arch):
        return []
    return sorted({(cfg.mean, cfg.std) for cfg in get_arch_pretrained_cfgs(backbone.arch).values()})


def _origin(backbone: Any) -> str:
    return f'{backbone.arch} from {backbone.trunk_id.file}'


def _as_setting(normalization: torch.Tensor) -> str:
    """(2, 3) in 0..255 -> words of a config."""
    mean, std = ([round(value, 3) for value in part] for part in normalization.tolist())
    return f'mean={mean}, std={std}'
