"""Options of the command line switch the adapter of every config, except those of full fine-tuning."""

import copy
import functools
from typing import Any

import pytest
from mmengine.config import Config
from mmengine.registry import MODELS

from daga_mm.cli.config import load_config
from daga_mm.cli.parser import add_config, add_run_options, make_parser

from .test_configs import LEAVES

FULL = [path for path in LEAVES if '_full-' in path.stem]
OTHERS = [path for path in LEAVES if path not in FULL]
ARGUMENTS = {
    '--adapter none': None,
    '--adapter mona': 'mona',
    '--cfg-options model.backbone.adapter=lora': 'lora',
    '--cfg-options model.backbone.adapter=None': None,
    '--cfg-options model.backbone.adapter=daga,lora': ['daga', 'lora'],
    '--adapter lora --cfg-options model.backbone.adapter.rank=4': dict(type='lora', rank=4),
}


@pytest.fixture
def adapter_of(monkeypatch):
    """A function that gives the adapter of a config that the tools read with these arguments."""
    read = functools.cache(Config.fromfile)  # which takes most of the time
    monkeypatch.setattr(Config, 'fromfile', lambda path: copy.deepcopy(read(path)))

    def adapter_of(path: str, *arguments: str) -> Any:
        parser = make_parser(None)
        add_config(parser)
        add_run_options(parser)
        args = parser.parse_args([path, *arguments])
        return load_config(args.config, args.cfg_options).model.backbone.adapter

    return adapter_of


@pytest.mark.parametrize('path', OTHERS, ids=lambda path: path.stem)
def test_the_command_line_switches_the_adapter(path, adapter_of):
    own = adapter_of(str(path))
    assert own is None or isinstance(own, str), 'a dict would be merged with the dict of a config that inherits it'
    for arguments, expected in ARGUMENTS.items():
        assert adapter_of(str(path), *arguments.split()) == expected, arguments


@pytest.mark.parametrize('path', FULL, ids=lambda path: path.stem)
def test_full_fine_tuning_refuses_an_adapter(path):
    config = load_config(path, {'model.backbone.adapter': 'lora'})
    with pytest.raises(ValueError, match='frozen=False .*adapter=None.*lora'):
        MODELS.build(config.model.backbone)
