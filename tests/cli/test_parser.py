"""Arguments: what each type takes, and that reading them needs no torch."""

import argparse
import re
import subprocess
import sys

import pytest

from daga_mm.adapters import adapter_names
from daga_mm.cli.parser import add_config, add_run_options, file, folder, fraction, make_parser, positive

from ..conftest import REPOSITORY

TOOLS = ['train', 'test', 'infer', 'report', 'publish_model', 'list_configs']
TOOLS += ['analysis_tools/attention', 'analysis_tools/model_report']


@pytest.mark.parametrize('tool', TOOLS)
@pytest.mark.parametrize(('argument', 'code'), [('--help', 0), ('--no-such-option', 2)])
def test_help_and_argument_errors_come_before_torch_is_imported(tool, argument, code):
    command = [sys.executable, '-X', 'importtime', f'tools/{tool}.py', argument]
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY)
    imported = re.findall(r'\| +(\S+)$', done.stderr, flags=re.MULTILINE)
    assert done.returncode == code and 'argparse' in imported and not {'torch', 'mmengine', 'numpy'} & {*imported}


@pytest.mark.parametrize('kind', [positive, fraction, folder, file])
def test_values_that_do_not_fit_are_named(kind, tmp_path):
    (tmp_path / 'file').touch()
    good, bad, message = {
        positive: ('3', ['0', '-1', '1.5', 'x'], 'expected a positive integer, got'),
        fraction: ('0.3', ['30', '-0.1', 'nan', 'x'], 'expected a number from 0 to 1, got'),
        folder: (tmp_path / 'new', [tmp_path / 'file', tmp_path / 'file/below'], 'file is a file, expected a folder'),
        file: (tmp_path / 'new/page.html', [tmp_path], 'is a folder, expected a file'),
    }[kind]
    kind(str(good))
    for value in bad:
        with pytest.raises(argparse.ArgumentTypeError, match=message):
            kind(str(value))


@pytest.mark.parametrize('option', ['a', '=1', 'a=[1,2', 'a=(1]'])
def test_options_that_cannot_be_read_are_named(option, capsys):
    parser = make_parser('')
    add_config(parser)
    with pytest.raises(SystemExit):
        parser.parse_args(['config.py', '--cfg-options', option])
    assert f'error: --cfg-options {option}: ' in capsys.readouterr().err


def test_options_are_read_as_mmengine_reads_them():
    parser = make_parser('')
    add_config(parser)
    options = ['--cfg-options', 'a.b=1', 'c=[1,(2,x)]', 'd=None', '--cfg-options', 'e=x=y', 'a.b=true']
    args = parser.parse_args(['config.py', *options])
    assert args.cfg_options == {'a.b': True, 'c': [1, (2, 'x')], 'd': None, 'e': 'x=y'}
    assert not args.traceback


@pytest.mark.parametrize(('name', 'value'), [('lora', 'lora'), ('none', None)])
def test_the_adapter_is_an_option_beside_others(name, value):
    parser = make_parser('')
    add_config(parser)
    add_run_options(parser)
    for order in (['--cfg-options', 'a=1', '--adapter', name], ['--adapter', name, '--cfg-options', 'a=1']):
        args = parser.parse_args(['config.py', *order])
        assert args.cfg_options == {'a': 1, 'model.backbone.adapter': value}
    assert parser.parse_args(['config.py']).cfg_options is None
    help_text = parser.format_help()
    assert all(re.search(rf'\b{one}\b', help_text) for one in adapter_names())
