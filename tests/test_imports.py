"""Who may import whom: the boundaries between the rooms, and the package beside any one task package alone."""

import ast
import subprocess
import sys

import pytest

from .conftest import REPOSITORY

PACKAGE = REPOSITORY / 'daga_mm'
TASKS = {'mmdet', 'mmseg', 'mmpretrain'}
MM = TASKS | {'mmcv', 'mmengine'}
# What a room must not import; of daga_mm itself, the rooms it may.
FORBIDDEN = {
    'errors': MM | {'torch'},
    'registry': (MM | {'torch'}) - {'mmengine'},
    'io': TASKS | {'mmcv', 'timm'},
    'layers': MM | {'timm', 'torchvision', 'safetensors', 'numpy', 'sklearn'},
    'adapters': MM | {'timm', 'torchvision', 'safetensors', 'numpy', 'sklearn'},
    'backbones': TASKS | {'mmcv'},
    'necks': TASKS,
    'engine': TASKS | {'mmcv'},
    'compat': TASKS,
    'evaluation': TASKS | {'mmcv'},
    'visualization': TASKS | {'mmcv'},
    'depth': TASKS - {'mmseg'},
    'datasets': TASKS,  # mmcv decodes images as its transforms do
    'cli': TASKS | {'mmcv'},
    'apis': set(),  # of the task packages, that of the model: test_one_task_package_is_enough
}
# Modules that the registry imports where their task package is installed.
OPTIONAL = {'datasets/camvid.py': 'mmseg', 'visualization/panoptic_visualizer.py': 'mmdet'}
ROOMS = {
    'errors': set(),
    'registry': set(),
    'io': set(),
    'layers': set(),
    'adapters': {'layers', 'registry'},
    'backbones': {'adapters', 'compat', 'io', 'layers', 'registry'},
    'necks': {'layers', 'compat', 'registry'},
    'engine': {'backbones', 'datasets', 'errors', 'io', 'registry'},
    'compat': {'io', 'layers'},
    'evaluation': {'backbones', 'datasets', 'engine', 'errors', 'io', 'registry'},
    'visualization': {'adapters', 'backbones', 'engine', 'io', 'layers', 'registry'},
    'depth': {'compat', 'layers', 'registry'},
    'datasets': {'backbones', 'compat', 'errors', 'registry'},
    'cli': {'backbones', 'engine', 'errors', 'io'},
    'apis': {'adapters', 'backbones', 'cli', 'datasets', 'depth', 'engine', 'errors', 'io', 'layers'},
}
# What tools import before their arguments are read: help and argument errors come at once.
LIGHT = ('parser', 'config', 'data', 'errors', 'folders')


def imports(path):
    """Every module that a file imports when it runs, in full, relative ones resolved."""
    package = list(path.relative_to(REPOSITORY).parts[:-1])
    tree = ast.parse(path.read_text())
    tree.body = [
        node for node in tree.body if not (isinstance(node, ast.If) and ast.unparse(node.test) == 'TYPE_CHECKING')
    ]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = '.'.join(package[: len(package) - node.level + 1]) if node.level else ''
            module = '.'.join(part for part in (base, node.module) if part)
            yield from (f'{module}.{alias.name}' for alias in node.names)


def test_relative_imports_are_resolved():
    assert 'daga_mm.compat' in imports(PACKAGE / 'depth/__init__.py')  # from .. import compat
    assert 'daga_mm.registry.HOOKS' in imports(PACKAGE / 'engine/provenance_hook.py')  # from ..registry import HOOKS


def test_rooms_are_the_ones_listed():
    found = {path.stem for path in PACKAGE.iterdir() if path.suffix == '.py' or (path / '__init__.py').exists()}
    assert found - {'__init__', 'doctor'} == set(FORBIDDEN) == set(ROOMS), 'a new room needs its boundaries here'


@pytest.mark.parametrize('room', FORBIDDEN)
def test_room_keeps_its_boundaries(room):
    for path in (*(PACKAGE / room).rglob('*.py'), *PACKAGE.glob(f'{room}.py')):
        for module in imports(path):
            parts = module.split('.')
            where = f'{path.relative_to(REPOSITORY)} imports {module}'
            assert parts[0] not in FORBIDDEN[room] - {OPTIONAL.get(str(path.relative_to(PACKAGE)))}, where
            assert parts[0] not in ('tools', 'benchmarks', 'configs', 'demo', 'tests'), where
            if parts[0] == 'daga_mm' and len(parts) > 1:
                assert parts[1] in ROOMS[room] | {room}, where


def run(code: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, '-W', 'ignore', '-c', code], capture_output=True, text=True, cwd='/')


@pytest.mark.parametrize('module', ['daga_mm', 'daga_mm.errors', *(f'daga_mm.cli.{part}' for part in LIGHT)])
def test_importing_it_loads_no_torch(module):
    result = run(f"import sys, {module}; print('torch' in sys.modules)")
    assert result.stdout.split() == ['False'], result.stderr


@pytest.mark.parametrize(
    ('package', 'task'), [('mmdet', 'detection'), ('mmseg', 'depth'), ('mmpretrain', 'classification')]
)
def test_one_task_package_is_enough(package, task, models, pictures):
    """Our parts build from the registry of any one of them and predict, with the other two not installed."""
    config, checkpoint = models[task]
    code = f"""
import sys
sys.modules.update(dict.fromkeys({TASKS - {package}!r}))  # None: as if not installed
import daga_mm.compat
from daga_mm.apis import load
assert not {{{package!r}, 'mmcv'}} & {{*sys.modules}}, 'imported before it is needed'
print(load({str(config)!r}, {str(checkpoint)!r}, device='cpu').predict({str(pictures)!r})[1].draw().ndim)
from mmengine.registry import init_default_scope
init_default_scope({package!r})
from {package}.registry import MODELS
arch = dict(name='dinov3_vits16', embed_dim=48, depth=4, num_heads=3)
backbone = MODELS.build(dict(type='daga_mm.DAGAViT', arch=arch, with_image=True))
neck = MODELS.build(dict(type='daga_mm.ViTAdapterNeck', embed_dims=48))
import torch
print([tuple(x.shape) for x in neck(backbone(torch.randn(1, 3, 64, 64)))])
"""
    result = run(code)
    assert result.returncode == 0, result.stderr[-3000:]
    assert '(1, 48, 16, 16)' in result.stdout
