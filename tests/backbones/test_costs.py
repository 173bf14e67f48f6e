"""What DAGA may cost, as counts of operations and bytes: seconds differ between machines, and these don't.

ViT-S/16 at its real sizes, on tensors that have a shape and nothing in it.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from daga_mm.backbones import DAGAViT
from daga_mm.visualization.model_report import as_on_a_gpu

LATE = (10, 11)
FROZEN, INLINE = dict(layer=-1), 'inline'


@pytest.fixture(autouse=True)
def meta():
    with torch.device('meta'), as_on_a_gpu():
        yield


def build(layers: tuple[int, ...] = (), guidance: Any = INLINE, **kwargs: Any) -> DAGAViT:
    adapter = dict(type='DAGA', layers=layers, guidance=guidance) if layers else None
    return DAGAViT('dinov3_vits16', adapter=adapter, **kwargs)


def step(model: DAGAViT, size: int) -> Callable[[], None]:
    return lambda: sum(out.mean() for out in model.train()(torch.empty(1, 3, size, size))).backward()


def flops(function: Callable[[], Any]) -> int:
    with FlopCounterMode(display=False) as counter:
        function()
    return counter.get_total_flops()


def forward_flops(model: DAGAViT, size: int) -> int:
    with torch.no_grad():
        return flops(lambda: model(torch.empty(1, 3, size, size)))


def kept_bytes(model: DAGAViT, size: int) -> int:
    """What a forward pass keeps for the backward pass, parameters left out."""
    parameters = {p.untyped_storage()._cdata for p in model.parameters()}
    kept: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept.setdefault(tensor.untyped_storage()._cdata, tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        outputs = model.train()(torch.empty(1, 3, size, size))
    del outputs
    return sum(tensor.untyped_storage().nbytes() for key, tensor in kept.items() if key not in parameters)


@pytest.mark.parametrize('size', [224, 512])
@pytest.mark.parametrize(
    ('layers', 'guidance', 'most'),
    [((1, 2, 10, 11), INLINE, 1.05), (LATE, FROZEN, 1.03), (LATE, INLINE, 1.03), ((1, 2, 10, 11), FROZEN, 1.8)],
)
def test_forward_beside_the_frozen_trunk(layers, guidance, most, size):
    ratio = forward_flops(build(layers, guidance=guidance), size) / forward_flops(build(), size)
    assert 1 < ratio < most


@pytest.mark.parametrize('size', [224, 512])
@pytest.mark.parametrize(
    ('layers', 'guidance', 'most'), [((1, 2, 10, 11), INLINE, 0.73), (LATE, FROZEN, 0.38), (LATE, INLINE, 0.38)]
)
def test_training_step_beside_full_fine_tuning(layers, guidance, most, size):
    """No graph before the first DAGA, no gradients of the frozen weights."""
    model, full = build(layers, guidance=guidance), build(frozen=False)
    assert flops(step(model, size)) / flops(step(full, size)) < most


@pytest.mark.parametrize(
    ('layers', 'guidance', 'with_cp', 'most'),
    [
        ((1, 2, 10, 11), INLINE, False, 0.56),
        ((1, 2, 10, 11), INLINE, True, 0.08),
        (LATE, FROZEN, False, 0.09),
    ],
)
def test_activations_kept_beside_full_fine_tuning(layers, guidance, with_cp, most):
    full = kept_bytes(build(frozen=False), 512)
    assert kept_bytes(build(layers, guidance=guidance, with_cp=with_cp), 512) / full < most


class Made(TorchDispatchMode):
    """Bytes of all tensors that operations return."""

    total = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        self.total += sum(leaf.nbytes for leaf in tree_leaves(result) if isinstance(leaf, torch.Tensor))
        return result


def test_guidance_grows_with_the_patches_and_not_with_their_square():
    model = build(LATE, guidance=FROZEN)

    def made(size: int) -> int:
        with Made() as counter:
            model.guidance_map(torch.empty(1, 3, size, size))
        return counter.total

    assert made(2048) / made(512) < 17  # 16 times the patches
