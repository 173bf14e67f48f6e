"""What AttentionVisHook costs, measured on a small model, and what the documentation says of it."""

import json

import pytest

from daga_mm.cli.config import load_config

from ..configs.shrink import shrink
from ..conftest import REPOSITORY
from .conftest import load_tool

FCN = 'configs/mmseg/fcn_daga-vits16_linear_8xb2-40k_ade20k-512x512.py'
PICTURES = ('attention_0', 'features_0', 'gates')


@pytest.mark.slow  # 150 classes at every pixel of 512², for a minute
def test_time_inside_the_hook_is_set_against_the_iterations(tmp_path):
    config = shrink(load_config(REPOSITORY / FCN))
    config.visualizer.name = config.experiment_name = 'hook cost'  # mmengine keeps both by name
    found = load_tool('analysis_tools/hook_cost').measure(config, tmp_path, iterations=3, images=1)
    assert found['interval'] == 4000 and 0 < found['seconds_curves'] < found['seconds_iteration']
    drawing = found['seconds_drawing'] / (4000 * found['seconds_iteration'])
    assert found['seconds_drawing'] > 0 and 100 * drawing * 0.99 < found['percent'] < 100 * drawing + 2
    assert {path.name for path in tmp_path.rglob('vis_image/*')} == {f'{name}_3.png' for name in PICTURES}


def test_the_documented_share_is_the_measured_one():
    measured = json.loads((REPOSITORY / 'docs/costs/hook.json').read_text())
    text = (REPOSITORY / 'docs/seeing.md').read_text()
    assert measured['config'] == FCN and measured['percent'] < 2
    assert f'that is {measured["percent"]:.2f} % of the training' in text
    assert f'every {measured["iterations_for_2_percent"]} iterations' in text
