"""Why a run cannot go on, in words for its user, in every process of it."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import wait
from pathlib import Path
from traceback import walk_tb

import torch.distributed as dist
from torch.distributed.distributed_c10d import _get_default_store
from torch.utils.data._utils import signal_handling
from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter

from ..errors import PANOPTICAPI, RunError, in_one_line

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
KEY = 'daga_mm/why'


@contextmanager
def run_errors(work_dir: str | Path) -> Iterator[None]:
    """Raise what ends a run from outside as RunError, and what ends it in one process in all of them.

    From outside: a full disk, a killed worker of a data loader, an absent panopticapi.

    Args:
        work_dir: Of the run, which knows the last good checkpoint.
    """
    with shared(), loader_errors(), disk_errors(work_dir), panoptic_errors():
        yield


def last_good(work_dir: str | Path) -> str:
    """Where to go on from."""
    pointer = Path(work_dir) / 'last_checkpoint'
    if not pointer.is_file():
        return 'There is no checkpoint yet'
    return f'The last good checkpoint is {pointer.read_text().strip()}: go on from it with --resume'


@contextmanager
def disk_errors(work_dir: str | Path) -> Iterator[None]:
    """Report a full disk as RunError."""
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise RunError(
            f'{error}: make room in {work_dir}, or wherever else was written. {last_good(work_dir)}'
        ) from error


@contextmanager
def panoptic_errors() -> Iterator[None]:
    """Report an absent panopticapi as RunError with the package that has it; mmdet names a repository."""
    try:
        yield
    except (ImportError, RuntimeError) as error:
        if 'panopticapi is not installed' not in str(error):
            raise
        raise RunError(
            'panopticapi is not installed, with which mmdet reads, writes and measures panoptic segmentation: '
            f'{PANOPTICAPI}'
        ) from error


@contextmanager
def loader_errors() -> Iterator[None]:
    """Report a killed worker of a data loader as RunError; PyTorch has no type of error for it."""
    try:
        yield
    except Exception as error:
        try:
            what = _lost_worker(error)
        except RuntimeError as signal:  # PyTorch raises it from its handler of SIGCHLD, at any time
            what = _lost_worker(signal)
        if what is None:
            raise
        raise RunError(
            f'{what}. Most often the system is short of memory or of shared memory (/dev/shm): take fewer '
            'workers (train_dataloader.num_workers) or smaller batches, give a container more (docker run '
            '--shm-size=16g). Then go on with --resume'
        ) from error


def _lost_worker(error: BaseException) -> str | None:
    """The worker that was killed, if the error came of it.

    PyTorch's handler of SIGCHLD raises an error wherever the process is. A data loader that waits for the worker may
    fail first, since a connection breaks.
    """
    frames = [(cause, frame) for cause in _causes(error) for frame, _ in walk_tb(cause.__traceback__)]
    for cause, frame in frames:
        if frame.f_code.co_filename == signal_handling.__file__:
            return str(cause).splitlines()[0].rstrip('. ')
    for cause, frame in frames:
        loader = frame.f_locals.get('self')
        if isinstance(loader, _MultiProcessingDataLoaderIter):
            if isinstance(cause, OSError | EOFError):  # the connection breaks before the worker has ended
                ended = wait([worker.sentinel for worker in loader._workers], timeout=10)
                for worker in loader._workers:
                    if worker.sentinel in ended:
                        worker.join(10)  # the exit code comes a moment after the sentinel
            for worker in loader._workers:
                if worker.exitcode:
                    return f'DataLoader worker (pid {worker.pid}) ended with exit code {worker.exitcode}'
    return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error, and those that it came of."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


@contextmanager
def shared() -> Iterator[None]:
    """Let all processes end with the error of the first one that fails.

    The others notice that a connection was closed, or wait until one times out: neither says why. So the first one
    leaves its message in the store by which the processes found each other, and the others look there. A RunError says
    why by itself.
    """
    try:
        yield
    except Exception as error:
        if not dist.is_initialized():
            raise
        first = own = f'rank {dist.get_rank()}: {in_one_line(error)}'
        with suppress(RuntimeError):  # the process that holds the store may have ended
            first = _get_default_store().compare_set(KEY, '', own).decode()
        if first == own or isinstance(error, RunError):
            raise
        raise RunError(first) from error
