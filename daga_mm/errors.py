"""Errors whose message is written for the user. Importing this module loads no torch."""

from collections.abc import Iterator
from contextlib import contextmanager
from traceback import walk_tb

PANOPTICAPI = 'pip install --no-deps panopticapi-lite==0.2.0'  # requirements/panoptic.txt


class RunError(RuntimeError):
    """Ends a run. Its message says what was found, what was expected and how to fix it."""


@contextmanager
def as_run_error(*expected: type[Exception]) -> Iterator[None]:
    """Re-raise errors of these types, whose messages are written for the user, as RunError."""
    try:
        yield
    except expected as error:
        raise RunError(message_of(error)) from error


def message_of(error: BaseException) -> str:
    """The message of an error, without the traceback that PyTorch adds to one from a data loader's worker."""
    for frame, _ in walk_tb(error.__traceback__):
        if frame.f_code.co_qualname == 'ExceptionWrapper.reraise':  # of torch._utils
            wrapped = frame.f_locals['self']
            return wrapped.exc_msg.rpartition(f'{wrapped.exc_type.__name__}: ')[2].strip()
    return str(error).strip()


def in_one_line(error: BaseException) -> str:
    """The message of an error, after its type unless it is a RunError."""
    message = message_of(error)
    return message if isinstance(error, RunError) else f'{type(error).__name__}: {message}'
