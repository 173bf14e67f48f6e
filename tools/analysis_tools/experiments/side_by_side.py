"""Variants of DAGA trained side by side on the same batches: what the frozen trunk does for all, it does once."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from daga_mm.backbones import Trunk

from . import cifar
from .paths import Paths


def compute_once(trunk: Trunk) -> None:
    """Have a frozen trunk answer from memory what it is asked again about untouched tokens of the same images.

    Untouched are images, and what embedding and blocks make of them and of nothing else. With the next images all of it
    is forgotten.
    """
    known: dict[tuple, Any] = {}
    untouched: list[Tensor] = []  # held, so that no other tensor can have the identity of one of them

    def remembering(function: Callable[..., Any], subject: int) -> Callable[..., Any]:
        def ask(*arguments: Any) -> Any:
            tensor = arguments[subject]
            if not any(tensor is one for one in untouched):
                return function(*arguments)
            key = (function.__name__, *arguments[:subject], id(tensor))
            if key not in known:
                known[key] = answer = function(*arguments)
                untouched.append(answer[0] if isinstance(answer, tuple) else answer)
            return known[key]

        return ask

    embed = remembering(trunk.embed, subject=0)

    def embed_afresh(images: Tensor) -> Any:
        if not any(images is one for one in untouched):
            known.clear()
            untouched[:] = [images]
        return embed(images)

    trunk.embed = embed_afresh  # type: ignore[method-assign]
    trunk.block = remembering(trunk.block, subject=1)  # type: ignore[method-assign]
    trunk.class_attention = remembering(trunk.class_attention, subject=1)  # type: ignore[method-assign]


@torch.no_grad()
def accuracies(models: list[Any], data: cifar.Images) -> list[float]:
    """Of each model, the share of right answers in percent."""
    right = [0] * len(models)
    for images, labels in data.batches(250):
        images = cifar.prepared(images)
        for place, model in enumerate(models):
            right[place] += int((cifar.logits(model.eval(), images).argmax(1) == labels).sum())
    return [100 * count / len(data) for count in right]


def run(
    paths: Paths, variants: dict[str, dict[str, Any]], seed: int, lr: float, epochs: int
) -> dict[str, dict[str, Any]]:
    """Train variants of DAGA and test them.

    Args:
        paths: Where the images are.
        variants: Changes to the arguments of GuidanceForm, by name.
        seed: Of the training images drawn, their order and augmentation, and the initial weights.
        lr: The largest learning rate.
        epochs: Over the training images.

    Returns:
        Of each variant what `cifar.run` returns, but for time and memory.
    """
    training, test, random = cifar.drawn(paths, seed)
    models = {name: cifar.build('daga', daga, seed).to(paths.device) for name, daga in variants.items()}
    trunk = next(iter(models.values()))['backbone'].trunk
    compute_once(trunk)
    for model in models.values():
        model['backbone'].trunk = trunk
    optimisers = [cifar.optimiser_of(model, lr, epochs * (len(training) // cifar.BATCH)) for model in models.values()]
    for images, labels in (batch for _ in range(epochs) for batch in cifar.shuffled_batches(training, random)):
        images = cifar.prepared(images)
        for model, (optimiser, schedule) in zip(models.values(), optimisers, strict=True):
            cifar.train_step(model.train(), images, labels, optimiser)
            schedule.step()
    found = {}
    for (name, model), score in zip(models.items(), accuracies(list(models.values()), test), strict=True):
        trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
        found[name] = dict(score=score, trained=trained, gates=cifar.gates(model['backbone'], test.images[:250]))
    own = [name for name, model in models.items() if model['backbone'].maps == 'real']
    for maps in ('shuffled', 'constant'):
        for name in own:
            models[name]['backbone'].maps = maps
        for name, score in zip(own, accuracies([models[name] for name in own], test), strict=True):
            found[name].setdefault('other_maps', {})[maps] = score
    return found
