"""How far a long step is, as a line in the log now and then."""

import time

from mmengine.logging import print_log


class Progress:
    """Log what is done and how long the rest will take, if the last line is old enough; at the end, if it took long.

    Args:
        what: What is going on.
        total: How many there are to do.
        unit: Of what.
        every: Seconds between two lines.
    """

    def __init__(self, what: str, total: int, unit: str, every: float = 30.0) -> None:
        self.what = what
        self.total = total
        self.unit = unit
        self.every = every
        self.start = self.last = time.monotonic()

    def update(self, done: int) -> None:
        """``done`` of all are done."""
        now = time.monotonic()
        passed = now - self.start
        if now - self.last < self.every and (done < self.total or passed < self.every):
            return
        self.last = now
        left = passed / max(done, 1) * (self.total - done)
        line = f'{self.what}: {done:,} of {self.total:,} {self.unit}, {passed:.0f} s, about {left:.0f} s left'
        print_log(line, 'current')
