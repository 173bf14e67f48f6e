"""What is published means something on another machine, and figures are those of the weights."""

import json

import pytest
from mmengine.config import Config

from daga_mm.apis import load
from daga_mm.apis.published import model_card, read_metrics, shareable
from daga_mm.backbones.checkpoints import TrunkId
from daga_mm.cli.config import load_config

from ..conftest import REPOSITORY
from ..small_models import CONFIGS

WEIGHTS = dict(trunk='1' * 16, adapters='2' * 16)
OFFICIAL = 'dinov3_vits16_pretrain_lvd1689m-08c60483.pth'


def card(task: str, file: str = OFFICIAL, **options) -> dict:
    """The metadata of a card."""
    from huggingface_hub import ModelCard

    config = load_config(REPOSITORY / 'configs' / CONFIGS[task])
    trunk = TrunkId('dinov3_vits16', 'timm', WEIGHTS['trunk'], file)
    sizes = dict(trained=1_000, total=22_000)
    text = model_card('name', config, trunk, dict(fingerprints=WEIGHTS), sizes, options.pop('metrics', {}), **options)
    return ModelCard(text).data.to_dict()


@pytest.mark.parametrize(
    ('task', 'tag', 'data'),
    [
        ('detection', 'object-detection', 'Coco'),
        ('segmentation', 'image-segmentation', 'ADE20K'),
        ('depth', 'depth-estimation', 'NYU'),
        ('classification', 'image-classification', 'cifar10'),
    ],
)
def test_a_card_names_task_data_and_trunk_as_hubs_do(task, tag, data):
    found = card(task, metrics={'score': 0.5})
    assert found['pipeline_tag'] == tag and found['datasets'] == [data] and found['metrics'] == ['score']
    assert found['base_model'] == 'facebook/dinov3-vits16-pretrain-lvd1689m'
    assert found['base_model_relation'] == 'adapter' and 'base_model_relation' not in card(task, with_trunk=True)
    (result,) = found['model-index'][0]['results']
    assert result['task']['type'] == tag and result['dataset']['name'] == data
    assert result['metrics'] == [{'type': 'score', 'value': 0.5, 'name': 'score'}]


def test_the_licence_is_that_of_the_trunk_unless_it_is_named():
    assert card('depth')['license_name'] == 'dinov3-license'
    other = card('depth', 'vit_scenes.safetensors')
    assert other['license'] == 'unknown' and 'base_model' not in other
    assert card('depth', licence='apache-2.0')['license'] == 'apache-2.0'


def test_paths_of_this_machine_are_removed(tmp_path, monkeypatch):
    monkeypatch.setenv('COCO_ROOT', '/mine/coco')
    monkeypatch.chdir(tmp_path)
    config = load_config(REPOSITORY / 'configs' / CONFIGS['detection'], {'dinov3_checkpoints': '/mine/weights'})
    config.merge_from_dict({'load_from': '/mine/a.pth', 'resume': True, 'work_dir': 'work_dirs/a'})
    config.others = [str(tmp_path / 'below/a.json'), dict(file=f'{tmp_path}/configs/a/b.json'), '/mine/file.json']
    found = shareable(config, tmp_path / 'configs')
    assert found.test_evaluator.ann_file == 'data/coco/annotations/instances_val2017.json'
    assert found.model.backbone.init_cfg.checkpoint == f'checkpoints/{OFFICIAL}'
    assert found.others == ['below/a.json', dict(file='a/b.json'), 'file.json']
    assert (
        not {'work_dir', 'load_from', 'resume'} & found.keys() and found.train_dataloader and 'mine' not in str(found)
    )
    (tmp_path / 'config.py').write_text(found.pretty_text)
    assert Config.fromfile(tmp_path / 'config.py').model == found.model


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (None, 'no metrics '),
        ('{', r'metrics\.json has no metrics with fingerprints, expected WORK_DIR/TIMESTAMP/TIMESTAMP\.json of a test'),
        ('[1]', 'has no metrics with fingerprints'),
        (json.dumps(dict(mIoU=3)), 'has no metrics with fingerprints'),
        (
            json.dumps(dict(mIoU=3, **WEIGHTS) | dict(adapters='3')),
            'other weights: the fingerprint of adapters is 3, that',
        ),
    ],
)
def test_metrics_of_other_weights_are_refused(content, message, tmp_path):
    path = tmp_path / 'metrics.json'
    if content is not None:
        path.write_text(content)
    with pytest.raises((FileNotFoundError, ValueError), match=message):
        read_metrics(path, WEIGHTS)


def test_metrics_are_numbers_without_times(tmp_path):
    (tmp_path / 'a.json').write_text(json.dumps(dict(mIoU=3.5, time=0.1, data_time=0.2, step=4, words='a', **WEIGHTS)))
    assert read_metrics(tmp_path / 'a.json', WEIGHTS) == dict(mIoU=3.5)


def test_a_folder_of_something_else_is_named(tmp_path):
    (tmp_path / 'a.py').touch()
    with pytest.raises(FileNotFoundError, match=r'1 configs .*0 weight files'):
        load(tmp_path)
