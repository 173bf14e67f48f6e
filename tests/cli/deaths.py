"""A hook that lets the second process die in an iteration, by default its second."""

import os
import signal
import time
from typing import Any

from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.registry import HOOKS


@HOOKS.register_module()
class Death(Hook):
    """``kind``: 'kill', 'exception', or 'silence', in which it lives on but does nothing."""

    def __init__(self, kind: str, iteration: int = 1) -> None:
        self.kind = kind
        self.iteration = iteration

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        if get_rank() != 1 or runner.iter != self.iteration:
            return
        print('dies now', flush=True)
        if self.kind == 'kill':
            os.kill(os.getpid(), signal.SIGKILL)
        if self.kind == 'exception':
            raise RuntimeError('this process fails')
        time.sleep(3600)
