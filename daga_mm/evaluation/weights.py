"""Whose features are measured: the backbone of a model, with weights in it, and its adapters at work."""

from typing import Any

from torch import nn

from ..backbones import DAGAViT, unwrap
from ..registry import MODEL_WRAPPERS


@MODEL_WRAPPERS.register_module()
class Replica(nn.Module):
    """What distributed training puts around a model, for one that is only looked at.

    Each process has the whole model and nothing is synchronised; DDP refuses a model without anything to train.

    Args:
        module: The model.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Run the model."""
        return self.module(*args, **kwargs)


def probed_backbone(model: nn.Module) -> DAGAViT:
    """The backbone whose class token and mean patch a probe reads.

    Raises:
        ValueError: It is no DAGAViT, or one with another output.
    """
    backbone = getattr(unwrap(model), 'backbone', None)
    if not isinstance(backbone, DAGAViT):
        raise ValueError(f'a probe reads the backbone of a model, a daga_mm.DAGAViT, not {type(backbone).__name__}')
    if backbone.out_type != 'cls_avg' or len(backbone.out_indices) != 1 or backbone.with_image:
        raise ValueError(
            f"a probe reads [class token; mean patch] of one block: out_type='cls_avg' and one of out_indices, not "
            f'{backbone.out_type!r} of {backbone.out_indices}' + ', with the image' * backbone.with_image
        )
    return backbone


def refuse_fresh_adapters(backbone: DAGAViT) -> None:
    """Refuse to report the frozen trunk's figures under an adapter's name.

    Raises:
        ValueError: An adapter is still the identity.
    """
    fresh = [name for name, adapter in backbone.adapters.items() if adapter.is_identity()]
    if fresh:
        raise ValueError(
            f'the adapter {", ".join(fresh)} is untrained, so this would measure the trunk without it: '
            'load a checkpoint with trained adapters (load_from), or set adapter=None to measure the trunk'
        )
