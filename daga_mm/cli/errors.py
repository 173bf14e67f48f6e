"""How a command line ends with an error: one line for the user, the traceback in a file."""

import logging
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from difflib import get_close_matches
from inspect import isclass, isfunction, signature
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from ..errors import RunError, in_one_line


@contextmanager
def one_line_errors(whole: bool) -> Iterator[None]:
    """End the program with one line for any error, and write the traceback to the log of the run.

    Before there is a log, a temporary file takes its place, except for a RunError: its message is all there is to know.

    Args:
        whole: Raise the error as it is (``--traceback``).

    Raises:
        SystemExit: With the line, which names the file.
    """
    try:
        yield
    except Exception as error:
        if whole:
            raise
        line = in_one_line(error) + _nearest(error)
        file = _log() or (None if isinstance(error, RunError) else _temporary_file())
        if file:
            with suppress(OSError):  # a full disk may be the error
                with open(file, 'a') as stream:
                    traceback.print_exception(error, file=stream)
                line += f' [traceback: {file}]'
        raise SystemExit(line) from error


def _log() -> str | None:
    """The log file of the run. Ranks other than 0 have none, and a dry run has already removed its own."""
    from mmengine.logging import MMLogger

    handlers = MMLogger.get_current_instance().handlers
    files = [handler.baseFilename for handler in handlers if isinstance(handler, logging.FileHandler)]
    return next((file for file in files if Path(file).exists()), None)


def _temporary_file() -> str:
    with NamedTemporaryFile(prefix='daga_mm_', suffix='.log', delete=False) as file:
        return file.name


def _nearest(error: Exception) -> str:
    """The nearest existing name, where mmengine builds a type or passes an argument that does not exist."""
    from mmengine.registry import build_from_cfg

    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    building = [frame.f_locals for frame in frames if frame.f_code is build_from_cfg.__code__]
    if not building or 'obj_cls' not in building[-1]:
        return ''
    innermost = building[-1]
    if innermost['obj_cls'] is None and isinstance(error, KeyError):
        known, wrong = _registered(innermost['registry']), [innermost['obj_type'].rpartition('.')[2]]
    elif innermost['obj_cls'] is not None and isinstance(error, TypeError):
        known = {name: name for name in _parameters(innermost['obj_cls'])}
        wrong = [name for name in innermost['args'] if name not in known]
    else:
        return ''
    close = [known[match] for name in wrong for match in get_close_matches(name, known, n=1)]
    return f': do you mean {", ".join(close)}?' * bool(close)


def _registered(registry: Any) -> dict[str, str]:
    """The names of a registry and its parents, and those of other packages, as a config gives them: with the scope."""
    names: dict[str, str] = {}
    while registry is not None:
        others = {name: f'{scope}.{name}' for scope, child in registry.children.items() for name in child.module_dict}
        names = others | {name: name for name in registry.module_dict} | names
        registry = registry.parent
    return names


def _parameters(built: Any) -> set[str]:
    """The arguments of a function, or of a class and those it inherits from, which may get its ``**kwargs``."""
    functions = [vars(kind).get('__init__') for kind in built.__mro__] if isclass(built) else [built]
    return {name for function in functions if isfunction(function) for name in signature(function).parameters}
