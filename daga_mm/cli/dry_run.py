"""Try out a training run: what could go wrong in hours goes wrong in a minute."""

import resource
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dist import barrier, broadcast_object_list, get_world_size, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch.utils.data import DataLoader

from ..backbones import unwrap
from ..errors import RunError
from ..io import load_checkpoint_file

STEPS = 4  # the first one warms up


def dry_run(config: Config, build: Callable[[Config], Runner]) -> str:
    """Make a few steps of a run, validate on one batch, save, read back, and estimate what the whole run takes.

    The validation runs with all hooks, and upstream's visualization hooks draw its first image.

    Args:
        config: Of the run. Its work dir gets a folder ``.dry_run``, for as long as it is needed.
        build: Makes the runner.

    Returns:
        What there is to say, in lines.

    Raises:
        RunError: The loss is not finite, or what was read back is not what was trained.
    """
    work_dir = Path(config.work_dir)
    config.work_dir = str(work_dir / '.dry_run')
    config.resume = False
    ((config.get('default_hooks') or {}).get('checkpoint') or {}).pop('out_dir', None)
    if 'visualizer' in config:
        config.visualizer.vis_backends = None  # nothing is logged to where runs are compared
    hook = _DryRunHook()
    try:
        runner = build(config)
        runner.register_hook(hook)
        runner.train()
    except _Enough:
        barrier()  # all have read
    finally:  # after an error nobody is waited for: the others may have failed, too
        if is_main_process():
            shutil.rmtree(config.work_dir, ignore_errors=True)
    return hook.report


class _Enough(Exception):
    """All steps are made."""


class _DryRunHook(Hook):
    priority = 'LOWEST'

    def __init__(self) -> None:
        self.report = ''
        self._stamps: list[float] = []

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict[str, Any] | None = None
    ) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self._stamps.append(time.perf_counter())
        broken = [name for name, value in (outputs or {}).items() if not torch.isfinite(torch.as_tensor(value)).all()]
        if broken:
            raise RunError(f'{", ".join(broken)} is not finite in step {len(self._stamps)}')
        by_epoch = isinstance(runner.train_loop, EpochBasedTrainLoop)
        if (
            len(self._stamps) < STEPS
            and not self.is_last_train_iter(runner)
            and not (by_epoch and self.end_of_epoch(runner.train_dataloader, batch_idx))
        ):
            return
        validation = _validation(runner)  # its memory counts too
        self.report = '\n'.join(filter(None, [self._summary(runner), validation]))
        raise _Enough

    def _summary(self, runner: Runner) -> str:
        model = unwrap(runner.model)
        sizes = {name: parameter.numel() for name, parameter in model.named_parameters()}
        trained = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
        ranks, batch = get_world_size(), runner.train_dataloader.batch_sampler.batch_size
        lines = [
            f'parameters  {sum(sizes[name] for name in trained) / 1e6:,.2f} M trained of '
            f'{sum(sizes.values()) / 1e6:,.2f} M',
            f'batch       {ranks * batch} images, {batch} in each of {ranks} ranks' * (ranks > 1)
            or f'batch       {batch} images',
            _peak_memory(),
            f'checkpoint  {_checkpoint_size(runner, model.state_dict(), trained):,.1f} MiB, written and read back',
        ]
        durations = [after - before for before, after in zip(self._stamps, self._stamps[1:], strict=False)]
        if durations:
            step = median(durations)
            whole = timedelta(seconds=round(step * runner.max_iters))
            lines += [
                f'step        {step:.3f} s, the median of {len(durations)} after the first',
                f'training    {runner.max_iters:,} steps in {whole}, validation not counted',
            ]
        return '\n'.join(lines)


class _OneBatch:
    """A data loader that ends after its first batch."""

    def __init__(self, loader: DataLoader) -> None:
        self.loader = loader

    def __iter__(self) -> Iterator[Any]:
        return islice(self.loader, 1)

    def __len__(self) -> int:
        return 1

    def __getattr__(self, name: str) -> Any:
        return getattr(self.loader, name)


def _validation(runner: Runner) -> str:
    """Validate on one batch and draw its first image; the line about it, empty for a run without validation."""
    loop: Any = runner.val_loop
    if loop is None:
        return ''
    hooks: list[Any] = [hook for hook in runner.hooks if type(hook).__name__.endswith('VisualizationHook')]
    for hook in hooks:
        if hasattr(hook, 'draw'):  # mmdet's and mmseg's
            hook.draw, hook.interval = True, 1
        else:  # mmpretrain's draws the first image at any interval
            hook.enable = True
    batches, loop.dataloader = len(loop.dataloader), _OneBatch(loop.dataloader)
    start = time.perf_counter()
    metrics = loop.run()
    duration = time.perf_counter() - start
    return (
        f'validation  1 of {batches:,} batches in {duration:.1f} s: {", ".join(metrics) or "nothing found to measure"}'
        + '; one picture drawn' * bool(hooks)
    )


def _peak_memory() -> str:
    if torch.cuda.is_available():
        return f'memory      {torch.cuda.max_memory_allocated() / 2**20:,.0f} MiB at most, allocated on the GPU'
    return f'memory      {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10:,.0f} MiB at most, of this process'


def _checkpoint_size(runner: Runner, current: Mapping[str, torch.Tensor], trained: Sequence[str]) -> float:
    """Write a checkpoint, read it, compare it; its size in MiB. Only the first process reads: disks may be its own."""
    path = Path(runner.work_dir, 'dry_run.pth')
    runner.save_checkpoint(runner.work_dir, path.name, by_epoch=False, backend_args={'backend': 'atomic'})
    found: list[Any] = [0.0, '']
    if is_main_process():
        content = load_checkpoint_file(path)
        saved = content['state_dict']
        if 'ema_state_dict' in content:  # EMAHook saves the averaged weights as the model's, and these in their place
            saved = {key.removeprefix('module.'): value for key, value in content['ema_state_dict'].items()}
        lost = [name for name in trained if name not in saved]
        wrong = [key for key, value in saved.items() if key in current and not torch.equal(value, current[key].cpu())]
        found = [path.stat().st_size / 2**20, ', '.join([*lost, *wrong][:5])]
    broadcast_object_list(found)
    size, differing = found
    if differing:
        raise RunError(f'the checkpoint does not hold what was trained: {differing}')
    return size
