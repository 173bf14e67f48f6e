"""What tests of the tools share."""

import importlib.util
import sys

import pytest

from ..conftest import REPOSITORY


def load_converter(name: str):
    """A tool of tools/dataset_converters as a module."""
    spec = importlib.util.spec_from_file_location(name, REPOSITORY / f'tools/dataset_converters/{name}.py')
    module = sys.modules[name] = importlib.util.module_from_spec(spec)  # where dataclasses look for it
    spec.loader.exec_module(module)
    return module


def call(module, *arguments) -> str | None:
    """The tool's main(); returns the line with which it gave up."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, 'argv', ['tool', *map(str, arguments)])
        try:
            module.main()
        except SystemExit as done:
            return done.code
    return None
