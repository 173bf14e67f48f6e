"""The Markdown: links lead somewhere, on GitHub and on the site, and commands name what exists."""

import argparse
import ast
import importlib.util
import inspect
import os
import re
import shlex
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from daga_mm import registry
from daga_mm.adapters import adapter_names
from daga_mm.backbones import DAGAViT
from daga_mm.cli.config import load_config, path_names
from daga_mm.cli.parser import ADAPTER
from daga_mm.visualization import AttentionVisHook

from .conftest import REPOSITORY
from .tools.conftest import load_tool

LAYOUT = REPOSITORY / 'docs/repository_layout.py'
FOREIGN = {
    'cd',
    'echo',
    'export',
    'git',
    'hf',
    'mkdir',
    'pip',
    'sha256sum',
    'source',
    'swanlab',
    'wget',
}  # programs and words that are not ours
LAUNCHERS = {  # of each, the arguments in front of those of the Python tool
    'dist_train.sh': ('train', ['CONFIG', 'GPUS']),
    'dist_test.sh': ('test', ['CONFIG', 'CHECKPOINT', 'GPUS']),
    'slurm_train.sh': ('train', ['PARTITION', 'JOB_NAME', 'CONFIG']),
    'slurm_test.sh': ('test', ['PARTITION', 'JOB_NAME', 'CONFIG', 'CHECKPOINT']),
}


def site_patterns() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What the site holds: PAGES and LINKED of docs/repository_layout.py, which imports what is not installed here."""
    values = {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in ast.parse(LAYOUT.read_text()).body
        if isinstance(node, ast.Assign)
    }
    return values['PAGES'], values['LINKED']


PAGES, LINKED = site_patterns()
MARKDOWN = sorted({path for pattern in PAGES for path in REPOSITORY.glob(pattern)})
NAMES = [str(path.relative_to(REPOSITORY)) for path in MARKDOWN]
by_page = pytest.mark.parametrize('path', MARKDOWN, ids=NAMES)


# -- links ---------------------------------------------------------------------------------------------------------


def prose(path: Path) -> str:
    """A page without its code."""
    text = re.sub(r'^```.*?^```$', '', path.read_text(), flags=re.DOTALL | re.MULTILINE)
    return re.sub(r'`[^`\n]*`', 'code', text)


@cache
def anchors(path: Path) -> set[str]:
    """GitHub's names of a page's headings."""
    text = re.sub(r'^```.*?^```$', '', path.read_text(), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r'^#+ (.*)$', text, flags=re.MULTILINE)
    found: set[str] = set()
    for heading in headings:
        words = re.sub(r'\[([^\]]*)\]\([^)]*\)', r'\1', heading).lower()
        name = re.sub(r'[^\w\- ]', '', words).strip().replace(' ', '-')
        assert name not in found, f'{path.name}: two headings {heading!r}, which GitHub and the site number differently'
        found.add(name)
    return found


@by_page
def test_links_lead_somewhere(path):
    on_site = {file for pattern in PAGES + LINKED for file in REPOSITORY.glob(pattern)}
    for target in re.findall(r'\]\(([^)\s]+)\)', prose(path)):
        if re.match(r'https?://|mailto:', target):
            continue
        name, _, anchor = target.partition('#')
        file = (path.parent / name).resolve() if name else path
        assert file.is_file(), f'{target} is no file'
        assert file in on_site, f'{target} is not on the site: docs/repository_layout.py'
        assert not anchor or anchor in anchors(file), f'{target}: no such heading; there are {sorted(anchors(file))}'


def test_every_page_is_in_the_menu():
    menu = re.findall(r': (\S+\.md)$', (REPOSITORY / 'mkdocs.yml').read_text(), flags=re.MULTILINE)
    assert sorted(menu) == NAMES


# -- commands ------------------------------------------------------------------------------------------------------


class Parsed(Exception):
    """Carries a parser out of a tool, before it does anything."""


@cache
def parser_of(tool: str) -> argparse.ArgumentParser:
    """The parser of a script, by its path in the repository."""
    with pytest.MonkeyPatch.context() as patch:

        def stop(parser, *args, **kwargs):
            raise Parsed(parser)

        patch.setattr(argparse.ArgumentParser, 'parse_args', stop)
        patch.setattr(sys, 'argv', [tool])
        patch.setattr(sys, 'path', [str((REPOSITORY / tool).parent), *sys.path])  # as for a script
        with pytest.raises(Parsed) as caught:
            load_tool(f'../{tool.removesuffix(".py")}').main()
    return caught.value.args[0]


def commands(text: str) -> list[list[str]]:
    """A block of shell as commands: words, variables filled in, comments and loops gone."""
    text = re.sub(r'(^|\s)#[^\n]*', r'\1', text.replace('\\\n', ' '))
    lexer = shlex.shlex(text, posix=True, punctuation_chars=';&|\n')
    lexer.whitespace, lexer.whitespace_split = ' \t', True
    lines: list[list[str]] = [[]]
    for word in lexer:
        if set(word) <= set(';&|\n'):
            lines.append([])
        else:
            lines[-1].append(word)
    found, values = [], {}
    for line in lines:
        line = [re.sub(r'\$(\w+)', lambda match: values.get(match[1], match[1]), word) for word in line]
        line = line[1:] if line[:1] == ['do'] else line
        if line[:1] == ['for']:
            values[line[1]] = line[3]
            continue
        while line and re.match(r'\w+=', line[0]):
            name, _, value = line.pop(0).partition('=')
            values[name] = value
        if line and line != ['done']:
            found.append(line)
    return found


def check(words: list[str]) -> None:
    """One command: its program, file, flags, config and options exist."""
    program, *rest = words
    if program in FOREIGN:
        return
    if program == 'make':
        targets = re.findall(r'^([a-z-]+):', (REPOSITORY / 'Makefile').read_text(), flags=re.MULTILINE)
        assert next(word for word in rest if '=' not in word) in targets
    elif program == 'mim':
        assert rest[0] in ('train', 'test', 'run', 'search', 'gridsearch') and rest[1] == 'daga_mm'
        names = {file.name for file in (REPOSITORY / 'configs').rglob('*.py')}
        for word in rest[2:]:
            assert '_8xb' not in word or word in names or word + '.py' in names, f'mim finds no {word}'
    elif program == 'python' and rest[0] == '-c':
        compile(rest[1], 'python -c', 'exec')
    elif program == 'python' and rest[0] == '-m':
        assert importlib.util.find_spec(rest[1]), f'no module {rest[1]}'
    elif program == 'python':
        check_tool(rest[0], rest[1:])
    elif program.endswith('.py'):  # in a sentence: a tool, and perhaps an argument
        check_flags(program, rest)
    else:
        assert program.startswith('tools/') and (REPOSITORY / program).is_file(), f'unknown command {program}'
        tool, names = LAUNCHERS[Path(program).name]
        given = dict(zip(names, rest, strict=False))
        assert len(given) == len(names) and given.get('GPUS', '8').isdecimal(), f'{program} takes {" ".join(names)}'
        check_tool(
            f'tools/{tool}.py',
            [given[name] for name in ('CONFIG', 'CHECKPOINT') if name in given] + rest[len(names) :],
        )


def check_flags(tool: str, words: list[str]) -> None:
    assert (REPOSITORY / tool).is_file(), f'no file {tool}'
    flags = re.findall(r'--[a-z-]+', ' '.join(words))
    unknown = [flag for flag in flags if flag not in parser_of(tool)._option_string_actions]
    assert not unknown, f'{tool} has no {unknown}'


def check_tool(tool: str, words: list[str]) -> None:
    if any(word.startswith('[-') for word in words):  # a synopsis: arguments in brackets, values in capitals
        check_flags(tool, words)
        return
    assert (REPOSITORY / tool).is_file(), f'no file {tool}'
    try:
        args = parser_of(tool).parse_args(words)
    except SystemExit as wrong:
        raise AssertionError(f'{tool} refuses {words}') from wrong
    config = getattr(args, 'config', None) or ''
    if '/' in config:
        assert (REPOSITORY / config).is_file(), f'no config {config}'
        options = getattr(args, 'cfg_options', None) or {}
        unknown = [name for name in options if not takes(read(config), name, options.get(ADAPTER))]
        assert not unknown, f'{config} has no {unknown}'


@cache
def read(config: str) -> Config:
    """A config, with which the names of its classes can be looked up."""
    found = load_config(REPOSITORY / config)
    init_default_scope(found.get('default_scope', 'mmengine'))
    return found


def takes(config: Config, option: str, adapter: str | None = None) -> bool:
    """Whether a dotted option is a setting in the config, or an argument of the class that is configured there."""
    if option in path_names():
        return True
    *parents, last = option.split('.')
    if 'adapter' in parents:
        place = parents.index('adapter') + 1
        adapter = adapter or read_at(config, parents[:place])
        kind = registry.ADAPTERS.get(adapter if isinstance(adapter, str) else adapter['type'])
        return [*parents, last][place] in inspect.signature(kind).parameters
    node = config
    for depth, name in enumerate(parents):
        node = node[int(name)] if isinstance(node, list | tuple) else node
        if not hasattr(node, 'get') or node.get(name) is None:
            # A dict that the config leaves to a default: guidance, randomness.
            return takes(config, '.'.join(parents[: depth + 1]))
        node = node[name]
    if last in node or (node is config and last in inspect.signature(Runner).parameters):
        return True
    registries = (registry.MODELS, registry.LOOPS, registry.DATASETS, registry.OPTIM_WRAPPERS, registry.HOOKS)
    classes = [found for each in registries if 'type' in node and (found := each.get(node['type'])) is not None]
    known = [inspect.signature(kind).parameters for base in classes for kind in base.__mro__ if kind is not object]
    return any(last in parameters for parameters in known)


def read_at(node: Any, names: list[str]) -> Any:
    """What a config has at a dotted name."""
    for name in names:
        node = node[int(name)] if isinstance(node, list | tuple) else node[name]
    return node


@by_page
def test_commands_name_what_exists(path, monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    environment = dict(os.environ)
    text = path.read_text()
    blocks = re.findall(r'^ *```sh\n(.*?)^ *```', text, flags=re.DOTALL | re.MULTILINE)
    spans = re.findall(r'`((?:python )?tools/[^`…]+ [^`…]+|python -m [^`…]+|make [a-z-]+)`', text)
    try:
        for block in [*blocks, *spans]:
            for words in commands(block):
                check(words)
    finally:
        os.environ.clear()
        os.environ.update(environment)


def test_options_for_flags_of_the_methods_own_code_exist():
    text = (REPOSITORY / 'docs/from_dino_daga.md').read_text()
    table = text[text.index('## Flags') : text.index('So this command')]
    cells = ' '.join(row.split('|')[2] for row in table.splitlines() if row.startswith('| '))
    options = set(re.findall(r'[` ]([a-z][a-z0-9_.]+)=', cells)) - set(inspect.signature(AttentionVisHook).parameters)
    assert len(options) > 15
    configs = [
        read(f'configs/{config}.py')
        for config in (
            'depth/depth_daga-vitb16_dpt_8xb2-25e_nyu-416x544',
            'mmpretrain/image-classifier_daga-vitb16_linear_8xb128-30e_in1k',
            'mmpretrain/knn_in1k',
            'mmpretrain/logreg_in1k',
            'mmpretrain/linear_in1k',
        )
    ]
    assert not [option for option in options if not any(takes(config, option) for config in configs)]


def test_a_command_with_a_mistake_is_found():
    config = 'configs/mmpretrain/knn_in1k.py'
    check(['python', 'tools/test.py', config, 'none', '--cfg-options', 'test_cfg.ks=[1]'])
    for words in (
        ['python', 'tools/tset.py', config, 'none'],
        ['python', 'tools/test.py', config.replace('knn', 'kmm'), 'none'],
        ['python', 'tools/test.py', config, 'none', '--recume'],
        ['python', 'tools/test.py', config, 'none', '--cfg-options', 'model.backbone.adaptor=lora'],
        ['tools/dist_test.sh', config, '8'],
        ['make', 'dmeo'],
        ['daga', 'train'],
    ):
        with pytest.raises(AssertionError):
            check(words)


def test_parameters_of_the_adapters_are_counted():
    text = (REPOSITORY / 'docs/concepts.md').read_text()
    rows = re.findall(r"^\| `(None|'\w+')`(, with `frozen=False`)? \|.*\| ([\d,]+) \|$", text, flags=re.MULTILINE)
    assert sorted(name.strip("'") for name, *_ in rows) == ['None', 'None', *adapter_names()]
    for name, full, count in rows:
        with torch.device('meta'):
            model = DAGAViT('dinov3_vitb16', adapter=ast.literal_eval(name), frozen=not full)
        assert f'{sum(p.numel() for p in model.parameters() if p.requires_grad):,}' == count, name
