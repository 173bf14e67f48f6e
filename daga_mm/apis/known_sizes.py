"""Sizes that a model holds in tensors, as constants of a graph."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import _disable_current_modes
from torch.utils._pytree import tree_leaves


class KnownSizes(TorchFunctionMode):
    """A context for `torch.export` in which tensors of sizes have values.

    mmdet's heads with deformable attention take the sizes of feature maps as tensors, compute with them, and cut other
    tensors at the results, which the exporter refuses, since its tensors have no values. Here, tensors of sizes and
    what is computed from them alone are left out of the trace, and are constants in the graph.
    """

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is torch._shape_as_tensor:
            func, args = torch.tensor, (tuple(args[0].shape),)
        elif not _are_known([leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]):
            return func(*args, **kwargs)
        with _disable_current_modes():
            result = func(*args, **kwargs)
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                leaf.is_known_size = True  # type: ignore[attr-defined]
        return result


def _are_known(tensors: list[Tensor]) -> bool:
    return bool(tensors) and all(getattr(tensor, 'is_known_size', False) for tensor in tensors)
