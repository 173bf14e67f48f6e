"""What tests of the tools share."""

import importlib.util
import os
import runpy
import sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from subprocess import CompletedProcess
from unittest import mock

import pytest
from mmengine.logging import MMLogger

from ..conftest import REPOSITORY


def load_tool(name: str):
    """A file of tools as a module."""
    spec = importlib.util.spec_from_file_location(Path(name).name, REPOSITORY / f'tools/{name}.py')
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)  # where dataclasses look for it
    spec.loader.exec_module(module)
    return module


def load_converter(name: str):
    """A tool of tools/dataset_converters as a module."""
    return load_tool(f'dataset_converters/{name}')


def call(module, *arguments) -> str | None:
    """The tool's main(); returns the line with which it gave up."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, 'argv', ['tool', *map(str, arguments)])
        patch.setattr(MMLogger, '_instance_dict', {})  # no log of an earlier run
        try:
            module.main()
        except SystemExit as done:
            return done.code
    return None


def run_script(path: str | Path, *arguments, cwd: str | Path = REPOSITORY) -> CompletedProcess:
    """Run a script of the repository as a process of its own would, without the time that its imports would take."""
    path, out, err = REPOSITORY / path, StringIO(), StringIO()
    code: str | int | None = 0
    with pytest.MonkeyPatch.context() as patch, mock.patch.dict(os.environ), redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, 'argv', [str(path), *map(str, arguments)])
        patch.setattr(MMLogger, '_instance_dict', {})  # no log of an earlier run
        patch.syspath_prepend(str(path.parent))
        patch.chdir(cwd)
        try:
            runpy.run_path(str(path), run_name='__main__')
        except SystemExit as done:
            code = done.code
    if isinstance(code, str):
        err.write(f'{code}\n')
        code = 1
    return CompletedProcess(sys.argv, code or 0, out.getvalue(), err.getvalue())
