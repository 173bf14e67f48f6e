"""Work that one process does while the others wait, for hours if need be."""

from collections.abc import Callable
from datetime import timedelta
from functools import cache
from typing import Any, TypeVar

import torch.distributed as dist
from mmengine.dist import get_rank, is_distributed

from ..errors import RunError

T = TypeVar('T')


@cache
def _patient_group() -> Any:
    # NCCL's groups give up after ten minutes, and a logistic regression may take days.
    return dist.new_group(backend='gloo', timeout=timedelta(days=30))


def on_rank_zero(work: Callable[[], T]) -> T:
    """Do it in the first process; all return its result, or fail if it failed.

    Every process must call this. The result is pickled for the others.

    Raises:
        RunError: In the other processes, with the words of what was raised in the first.
    """
    if not is_distributed():
        return work()
    outcome: list[Any] = [None, None]
    failure = None
    if get_rank() == 0:
        try:
            outcome[0] = work()
        except Exception as error:  # the others would wait for it
            failure = error
            outcome[1] = f'{type(error).__name__}: {error}'
    dist.broadcast_object_list(outcome, src=0, group=_patient_group())
    if failure is not None:
        raise failure
    if outcome[1] is not None:
        raise RunError(f'in the first process: {outcome[1]}')
    return outcome[0]
