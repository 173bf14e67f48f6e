"""Backbones on one trunk compute what they compute alone, and no block twice."""

from collections import Counter
from contextlib import contextmanager, nullcontext

import pytest
import torch

from daga_mm.backbones import shared_blocks

from ..conftest import daga

CASES = {  # adapters of three backbones, and how often each of the four blocks runs for all of them
    'frozen': ([None, None, None], [1, 1, 1, 1]),
    'one adapted': ([None, daga((2, 3)), None], [1, 1, 1, 2]),
    'late, earlier, early': ([daga((2, 3)), daga((1, 3)), daga((0, 3))], [1, 2, 3, 3]),
    'the deepest last': ([daga((0, 3)), daga((1, 3)), None], [1, 2, 3, 3]),
    'gates of heads': ([daga((2, 3), gate='heads'), daga((2, 3)), None], [1, 1, 1, 3]),
    # The attention of the untouched trunk's last block is read in a pass of its own, which ends inside that block.
    'guided by the last block': ([daga((1, 3), guidance=dict(layer=-1)), daga((2, 3)), None], [1, 1, 2, 4]),
    'guided by a smaller image': ([daga((2, 3), guidance=dict(layer=0, scale=0.5)), None, None], [2, 1, 1, 2]),
}


@contextmanager
def counted(trunk):
    """How often each block is entered."""
    counts = Counter()
    hooks = [
        block.register_forward_pre_hook(lambda module, args, index=index: counts.update([index]))
        for index, block in enumerate(trunk.model.blocks)
    ]
    yield counts
    for hook in hooks:
        hook.remove()


@pytest.fixture
def backbones(tiny):
    """Backbones on one trunk."""

    def build(adapters, **kwargs):
        found = [tiny(adapter=adapter, **kwargs) for adapter in adapters]
        trunk = found[0].trunk
        for backbone in found[1:]:
            for index in backbone.trunk.taps:
                trunk.tap(int(index))
            backbone.trunk = trunk
        return found, trunk

    return build


def outputs(backbones, images):
    with torch.no_grad():
        return [output for backbone in backbones for output in backbone(images)]


def equal(first, second) -> bool:
    return all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


@pytest.mark.parametrize('case', CASES)
def test_results_are_the_same_and_no_block_runs_twice(case, backbones, images):
    adapters, expected = CASES[case]
    models, trunk = backbones(adapters)
    alone = outputs(models, images)
    methods = set(vars(trunk))
    with counted(trunk) as counts, shared_blocks(trunk):
        together = outputs(models, images)
    assert equal(together, alone) and [counts[index] for index in range(4)] == expected
    assert set(vars(trunk)) == methods and equal(outputs(models, images), alone)


def test_each_of_several_images_is_found_again(backbones, images):
    """As the windows of one image are, when several models slide over it."""
    models, trunk = backbones([None, daga((2, 3))])
    windows = [images[..., :64], images[..., 32:], images[..., :64]]
    alone = [outputs(models, window) for window in windows]
    with counted(trunk) as counts, shared_blocks(trunk):
        together = [[] for _ in windows]
        for model in models:
            for found, window in zip(together, windows, strict=True):
                found += outputs([model], window)
    assert all(map(equal, together, alone)) and [counts[index] for index in range(4)] == [2, 2, 2, 5]


def test_precisions_are_kept_apart(backbones, images):
    (model,), trunk = backbones([None])
    half = torch.autocast('cpu', torch.bfloat16)
    with shared_blocks(trunk):
        found = {}
        for name, precision in (('float32', nullcontext()), ('bfloat16', half)):
            with precision:
                found[name] = outputs([model], images)
    assert equal(found['float32'], outputs([model], images))
    with half:
        assert equal(found['bfloat16'], outputs([model], images))


def test_tokens_that_are_changed_in_place_are_computed_again(backbones, images):
    models, trunk = backbones([daga((1, 3)), None])
    alone = outputs(models, images)
    adapter = models[0].adapters['daga']
    after_block = adapter.after_block
    adapter.after_block = lambda index, tokens, context: tokens.copy_(after_block(index, tokens, context))
    with shared_blocks(trunk):
        assert equal(outputs(models, images), alone)


def test_what_was_computed_is_forgotten_after_an_error(backbones, images):
    (model,), trunk = backbones([None])
    with pytest.raises(ValueError, match='expected'), shared_blocks(trunk):
        model(images[0])
    assert 'block' not in vars(trunk)
