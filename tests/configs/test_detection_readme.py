"""The numbers in configs/mmdet/README.md and the metafile are those of the configs."""

import re

import pytest
import yaml

from daga_mm.cli.config import load_config
from daga_mm.engine import build_on_meta, count_parameters

from ..conftest import REPOSITORY
from .test_configs import FULL

FOLDER = REPOSITORY / 'configs/mmdet'
README = (FOLDER / 'README.md').read_text()
COUNTS = {
    entry['Name']: (entry['Metadata']['Trained'], entry['Metadata']['Parameters'])
    for entry in yaml.safe_load((FOLDER / 'metafile.yml').read_text())['Models']
}
SCHEDULES = {'vitadapter': ('8xb2-1x', '8xb2-ms-3x'), 'simplefpn': ('8xb8-lsj-100e',)}


def test_every_row_of_the_readme_is_the_metafiles():
    rows = re.findall(
        r'^\| `(\S*mask-rcnn)_…-(vit\w16)_(\w+)` \| (.*?) \| (.*?) \| (.*?) \|', README, flags=re.MULTILINE
    )
    told = {
        f'{head}_{kind}-{size}_{neck}_{schedule}_coco': cell
        for head, size, neck, *cells in rows
        for kind, cell in zip(('daga', 'frozen', 'full'), cells, strict=True)
        for schedule in (SCHEDULES[neck] if head == 'mask-rcnn' else ('8xb2-ms-3x',))
    }
    assert told == {name: ' / '.join(f'{count / 1e6:.1f}' for count in counts) for name, counts in COUNTS.items()}


@pytest.mark.parametrize('neck', SCHEDULES)
@pytest.mark.parametrize('kind', ['daga-vits16', 'frozen-vitb16', 'full-vitl16'])
def test_the_metafile_counts_the_built_model(kind, neck):
    name = f'mask-rcnn_{kind}_{neck}_{SCHEDULES[neck][0]}_coco'
    counted = count_parameters(build_on_meta(load_config(FOLDER / f'{name}.py')))
    assert (counted['trained'], counted['total']) == COUNTS[name]


def test_layer_decay_and_drop_path_are_the_configs():
    rows = re.findall(r'^\| (ViTAdapter|SimpleFPN).*? \| ([\d., ]+) \| ([\d., ]+) \|$', README, flags=re.MULTILINE)
    told = {
        neck.lower(): list(zip(*(map(float, x.split(', ')) for x in numbers), strict=True)) for neck, *numbers in rows
    }
    assert told == {neck: list(sizes.values()) for neck, sizes in FULL.items()}
