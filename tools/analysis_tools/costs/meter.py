"""Clocks and counters."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode, register_flop_formula, sdpa_backward_flop, sdpa_flop

# The CPU's fused attention, which PyTorch's counter does not know; the formulas read shapes by themselves already.
register_flop_formula(torch.ops.aten._scaled_dot_product_flash_attention_for_cpu, get_raw=True)(sdpa_flop)
register_flop_formula(torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward, get_raw=True)(
    sdpa_backward_flop
)


def seconds(function: Callable[[], Any], device: str) -> float:
    """How long a function takes."""
    synchronize(device)
    start = time.perf_counter()
    function()
    synchronize(device)
    return time.perf_counter() - start


def synchronize(device: str) -> None:
    """Wait for what the device still has to do."""
    if device != 'cpu':
        torch.cuda.synchronize()


def flops(function: Callable[[], Any]) -> int:
    """FLOPs of a function, two for a multiplication with its addition; norms, activations and softmax don't count."""
    with FlopCounterMode(display=False) as counter:
        function()
    return counter.get_total_flops()


def operators(function: Callable[[], Any], device: str) -> dict[str, float]:
    """Milliseconds of a function by operator, the largest first; what an operator calls counts as that one's own."""
    kinds = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * (device != 'cpu')
    with profile(activities=kinds) as profiler:
        function()
        synchronize(device)
    events = profiler.key_averages()
    spent = {e.key: (e.self_cpu_time_total if device == 'cpu' else e.self_device_time_total) / 1e3 for e in events}
    return dict(sorted(spent.items(), key=lambda item: -item[1]))


class PeakMemory:
    """Peak memory from here on, above what is held now: the allocator's on CUDA, the process's on the CPU (Linux)."""

    def __init__(self, device: str) -> None:
        self.device = device
        if device != 'cpu':
            torch.cuda.reset_peak_memory_stats()
            self.before = torch.cuda.memory_allocated()
        else:
            Path('/proc/self/clear_refs').write_text('5')  # the high-water mark starts anew
            self.before = _high_water_mark()

    def mb(self) -> float:
        """The peak so far, MiB."""
        peak = torch.cuda.max_memory_allocated() if self.device != 'cpu' else _high_water_mark()
        return (peak - self.before) / 2**20


def _high_water_mark() -> int:
    """The process's most resident memory, bytes."""
    (line,) = (line for line in Path('/proc/self/status').read_text().splitlines() if line.startswith('VmHWM'))
    return 1024 * int(line.split()[1])
