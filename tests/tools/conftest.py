"""What tests of the tools share."""

import importlib.util
import sys
from pathlib import Path

import pytest

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
        try:
            module.main()
        except SystemExit as done:
            return done.code
    return None
