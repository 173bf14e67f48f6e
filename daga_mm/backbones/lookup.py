"""Find the backbones in a model."""

from typing import Any

from mmengine.model import BaseTTAModel, is_model_wrapper
from torch import nn

from .daga_vit import DAGAViT


def unwrap(model: nn.Module) -> Any:
    """The model without the wrappers of distributed training and test-time augmentation."""
    inner: Any = model
    while is_model_wrapper(inner) or isinstance(inner, BaseTTAModel):
        inner = inner.module
    return inner


def find_backbones(model: nn.Module) -> dict[str, DAGAViT]:
    """Every `DAGAViT` in a model, wrapped or not, by its name in the unwrapped model."""
    return {name: module for name, module in unwrap(model).named_modules() if isinstance(module, DAGAViT)}
