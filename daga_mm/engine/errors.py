"""Why a run can't go on, in words for its user, in every process of it."""

import errno
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from traceback import extract_tb

import torch.distributed as dist
from torch.distributed.distributed_c10d import _get_default_store

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
# What Python and mmengine's registries say of a setting that nothing knows.
MISNAMED = re.compile(r'unexpected keyword argument|missing \d+ required|is not in the .* registry')
KEY = 'daga_mm/why'


class RunError(RuntimeError):
    """What ended a run and what to do about it, in words for its user; a traceback would add nothing."""


@contextmanager
def as_run_error(*expected: type[Exception]) -> Iterator[None]:
    """Errors of these types, whose words are for the user, end the run as a RunError."""
    try:
        yield
    except expected as error:
        raise RunError(str(error)) from error


@contextmanager
def setting_errors() -> Iterator[None]:
    """What a config's settings make of a constructor, ends the run as a RunError.

    A TypeError or a KeyError does, where it is of a name that nothing knows; else it is one of the program.
    """
    try:
        yield
    except (OSError, ValueError) as error:
        raise RunError(str(error)) from error
    except (TypeError, KeyError) as error:
        if not MISNAMED.search(str(error)):
            raise
        raise RunError(f'the config does not fit: {error.args[0]}') from error


@contextmanager
def run_errors(work_dir: str | Path) -> Iterator[None]:
    """What ends a run from outside is a RunError; and what ends it in one process ends it in all, with the same words.

    From outside: a disk that is full, a data loader's worker that was killed.

    Args:
        work_dir: Of the run, which knows the last good checkpoint.
    """
    with shared(), loader_errors(), disk_errors(work_dir):
        yield


def last_good(work_dir: str | Path) -> str:
    """Where to go on from."""
    pointer = Path(work_dir) / 'last_checkpoint'
    if not pointer.is_file():
        return 'There is no checkpoint yet'
    return f'The last good checkpoint is {pointer.read_text().strip()}: go on from it with --resume'


@contextmanager
def disk_errors(work_dir: str | Path) -> Iterator[None]:
    """A disk that takes nothing more is told from a mistake of the program."""
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise RunError(
            f'{error}: make room in {work_dir}, or wherever else was written. {last_good(work_dir)}'
        ) from error


@contextmanager
def loader_errors() -> Iterator[None]:
    """A worker process that is gone ends the run as a RunError; PyTorch has no type of error for it."""
    try:
        yield
    except Exception as error:
        try:
            what = _lost_worker(error)
        except RuntimeError as signal:  # it comes when it likes
            what = _lost_worker(signal)
        if what is None:
            raise
        raise RunError(
            f'{what}. Most often that is the system, short of memory or of shared memory (/dev/shm): take fewer '
            'workers (train_dataloader.num_workers) or smaller batches, give a container more (docker run '
            '--shm-size=16g). Then go on with --resume'
        ) from error


def _lost_worker(error: BaseException) -> str | None:
    """What is known of a worker that is gone, if that is what the error came of."""
    # A signal tells of it, whatever is done at that moment: what is done may have made an error of its own of it.
    signal = next((one for one in _causes(error) if 'DataLoader worker (pid' in str(one)), None)
    if signal is not None:
        return str(signal).splitlines()[0].rstrip('. ')
    if isinstance(error, ConnectionError | EOFError) and _in_loader(error):  # it died as it handed a batch over
        time.sleep(1)  # for the signal, which knows more
        return f'A DataLoader worker is gone ({error})'
    return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error, and those that it came of."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _in_loader(error: BaseException) -> bool:
    return any(frame.filename.endswith('torch/utils/data/dataloader.py') for frame in extract_tb(error.__traceback__))


@contextmanager
def shared() -> Iterator[None]:
    """A RunError of one process is that of all.

    The others notice that a connection was closed, or wait until one times out: neither says why. So the first one
    leaves its words in the store by which the processes found each other, and the others look there.
    """
    try:
        yield
    except RunError as error:
        if dist.is_initialized():
            _get_default_store().compare_set(KEY, '', f'rank {dist.get_rank()}: {plain(error)}')
        raise
    except Exception as error:
        if not dist.is_initialized():
            raise
        try:
            store = _get_default_store()
            why = store.get(KEY).decode() if store.check([KEY]) else ''
        except RuntimeError:  # nobody is there any more
            why = ''
        if not why:
            raise
        raise RunError(why) from error


def plain(error: BaseException) -> str:
    """The words of an error; those from a process that loads data come behind a traceback in words."""
    text = str(error)
    if 'Original Traceback' in text:
        text = text.rpartition(f'{type(error).__name__}: ')[2]
    return text.strip()
