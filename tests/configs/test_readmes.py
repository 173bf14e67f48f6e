"""The numbers in the READMEs and metafiles of configs/ are those of the configs."""

import re
from pathlib import Path

import pytest
import yaml

from daga_mm.cli.config import load_config, trunk_names
from daga_mm.engine import build_on_meta, count_parameters

from ..conftest import REPOSITORY
from .test_configs import DINO, FULL, LEAVES, MASK2FORMER

TASKS = ('depth', 'mmdet', 'mmpretrain', 'mmseg')
METHODS = ('frozen', 'lora', 'daga', 'full')
COUNTS = {
    entry['Name']: (entry['Metadata']['Trained'], entry['Metadata']['Parameters'])
    for task in TASKS
    for entry in yaml.safe_load((REPOSITORY / f'configs/{task}/metafile.yml').read_text())['Models']
}


def rows(task: str) -> dict[tuple[str, str], dict[str, str]]:
    """Trained parameters as the README tells them, by configs and trunk, by method."""
    text = (REPOSITORY / f'configs/{task}/README.md').read_text()
    found = re.findall(r'^\| `(\S+_…_\S+)` \| `(\w+)` \| (.*?) \| (.*?) \| (.*?) \| (.*?) \|', text, flags=re.MULTILINE)
    return {(configs, trunk): dict(zip(METHODS, cells, strict=True)) for configs, trunk, *cells in found}


def files(task: str, configs: str, method: str) -> list[Path]:
    """The configs of a task that a row means, 'mask-rcnn_…_vitadapter', of a method for ViT-B."""
    start, _, part = configs.partition('_…_')
    of_task = [path for path in LEAVES if path.parent.name == task]
    of_method = [path for path in of_task if path.stem.startswith(f'{start}_{method}-vitb16_')]
    return [path for path in of_method if f'_{part}_' in f'{path.stem}_']


def as_told(count: int) -> str:
    millions = count / 1e6
    return f'{millions:.{3 if millions < 0.1 else 2 if millions < 10 else 1}f}'


def test_the_metafiles_have_every_config():
    assert sorted(COUNTS) == sorted(path.stem for path in LEAVES)


@pytest.mark.parametrize('task', TASKS)
def test_rows_of_the_readme_are_the_metafiles(task):
    told = rows(task)
    assert {configs for configs, _ in told} and all(files(task, configs, 'daga') for configs, _ in told)
    for configs, trunk in told:
        if not configs.startswith('cascade'):
            assert [t for c, t in told if c == configs] == [n for n in trunk_names() if n.endswith(('16', 'plus'))]
        if trunk == 'vitb16':
            named = [(method, path) for method in METHODS for path in files(task, configs, method)]
            for method, path in named:
                assert told[configs, trunk][method] == as_told(COUNTS[path.stem][0]), path
        if trunk == 'vits16':
            for path in files(task, configs, 'daga'):
                small = path.stem.replace('vitb16', 'vits16')
                assert configs.startswith('dino') or told[configs, trunk]['daga'] == as_told(COUNTS[small][0])


@pytest.mark.parametrize('method', METHODS)
@pytest.mark.parametrize('task', TASKS)
def test_the_built_model_has_the_numbers_of_its_row(task, method):
    """Each method of a task with another trunk."""
    trunk = ('vitl16', 'vith16plus', 'vit7b16', 'vits16plus')[METHODS.index(method)]
    configs = [c for c, t in rows(task) if t == trunk][TASKS.index(task) % 2]
    path = files(task, configs, 'full' if method == 'full' else 'daga')[0]
    options: dict = {'trunk': trunk}
    if method in ('frozen', 'lora'):
        options['model.backbone.adapter'] = 'lora' if method == 'lora' else None
    counted = count_parameters(build_on_meta(load_config(path, options)))
    assert as_told(counted['trained']) == rows(task)[configs, trunk][method]


@pytest.mark.parametrize('name', ['mask-rcnn_lora-vitb16_simplefpn_8xb8-lsj-100e_coco', 'linear_cifar10'])
def test_the_metafile_counts_the_built_model(name):
    path = next(path for path in LEAVES if path.stem == name)
    counted = count_parameters(build_on_meta(load_config(path)))
    assert (counted['trained'], counted['total']) == COUNTS[name]


def test_layer_decay_and_drop_path_are_the_configs():
    text = (REPOSITORY / 'configs/mmdet/README.md').read_text()
    rows = r'^\| (ViTAdapter|SimpleFPN|Mask2Former|DINO).*? \| ([\d., ]+) \| ([\d., ]+) \|$'
    found = re.findall(rows, text, flags=re.MULTILINE)
    told = {
        neck.lower(): list(zip(*(map(float, x.split(', ')) for x in numbers), strict=True)) for neck, *numbers in found
    }
    recipes = FULL | {'mask2former': MASK2FORMER, 'dino': DINO}
    assert told == {name: list(sizes.values()) for name, sizes in recipes.items()}
