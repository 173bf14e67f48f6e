"""A run is tried out, trained, and published in both kinds; each kind is tested and seen with."""

import hashlib
import json
from types import SimpleNamespace

import pytest
import safetensors.torch
import torch
from huggingface_hub import ModelCard
from mmengine.runner import Runner

from daga_mm.apis import load
from daga_mm.cli.config import load_config
from daga_mm.io import load_checkpoint_file

from ..conftest import write_trunk
from ..small_runs import small_config, write_data
from .conftest import call, load_tool


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    """A classifier of 6 steps: its folder, config, last checkpoint, weights, and how it scores."""
    folder = tmp_path_factory.mktemp('published')
    trunk = write_trunk(folder / 'trunk.safetensors')
    config = small_config('classification', write_data('classification', folder / 'data'), trunk, folder / 'run')
    config.train_cfg.max_epochs = 3
    config.train_dataloader.batch_size = 7
    config.visualizer.name = str(folder)
    config.dump(folder / 'classifier.py')
    runner = Runner.from_cfg(config)
    runner.train()
    state = runner.model.state_dict()
    return SimpleNamespace(
        folder=folder,
        config=folder / 'classifier.py',
        checkpoint=folder / 'run/epoch_3.pth',
        state=state,
        score=runner.val_loop.run(),
    )


def published(run, tmp_path, *options, checkpoint=None):
    assert (
        call(load_tool('publish_model'), run.config, checkpoint or run.checkpoint, '--out', tmp_path, *options) is None
    )
    (path,) = tmp_path.glob('classifier-*/classifier-*.safetensors')
    return path


@pytest.fixture(params=['trained alone', 'with trunk', 'trained alone, from one with trunk'])
def file(request, run, tmp_path):
    """A published file, and whether it has the trunk."""
    if request.param == 'trained alone':
        return published(run, tmp_path), False
    whole = published(run, tmp_path / 'whole', '--trunk')
    if request.param == 'with trunk':
        return whole, True
    return published(run, tmp_path, checkpoint=whole), False


def test_it_holds_the_weights_and_what_there_is_to_say(file, run):
    path, with_trunk = file
    assert path.stem.endswith('-' + hashlib.sha256(path.read_bytes()).hexdigest()[:8])
    found = load_checkpoint_file(path)
    weights = {key: value for key, value in found['state_dict'].items() if not key.endswith('trunk_id')}
    expected = {key: value for key, value in run.state.items() if with_trunk or '.trunk.' not in key}
    assert weights.keys() == expected.keys()
    assert all(torch.equal(value, expected[key]) for key, value in weights.items())
    assert found['meta']['epoch'] == 3 and len(found['meta']['dataset_meta']['classes']) == 14
    assert set(found['meta']['fingerprints']) == {'trunk', 'adapters'}
    assert 'optimizer' not in found and str(run.folder) not in json.dumps(found['meta'])


def test_it_scores_as_the_run_did(file, run, tmp_path):
    config = load_config(run.config, {'load_from': str(file[0])}, str(tmp_path / 'test'))
    config.visualizer.name = config.experiment_name = str(tmp_path)
    score = Runner.from_cfg(config).test()
    assert score == {key: run.score[key] for key in score} and score


def test_its_folder_is_loaded_as_one_thing(file, run, tmp_path, monkeypatch):
    monkeypatch.setenv('DINOV3_CHECKPOINTS', str(run.folder))
    images = next((run.folder / 'data/imagenet/val').iterdir())
    expected = load(run.config, run.checkpoint, device='cpu')
    folder, found = file[0].parent, load(file[0].parent, device='cpu')
    assert found.model.backbone.fingerprints() == expected.model.backbone.fingerprints()
    assert len(found.classes) == 14 and found.classes == expected.classes
    for one, other in zip(found.predict(images), expected.predict(images), strict=True):
        assert torch.equal(one.pred_score, other.pred_score)
    assert call(load_tool('infer'), images, folder, '--out', tmp_path / 'out', '--device', 'cpu') is None
    assert list((tmp_path / 'out/vis').iterdir())


def test_its_card_has_what_hubs_read(file, run):
    path, with_trunk = file
    assert {one.name for one in path.parent.iterdir()} == {'README.md', 'classifier.py', path.name}
    card = ModelCard.load(path.parent / 'README.md')
    found = card.data.to_dict()
    weights = load_checkpoint_file(path)['meta']['fingerprints']
    assert (found['pipeline_tag'], found['library_name'], found['license']) == (
        'image-classification',
        'daga_mm',
        'unknown',
    )
    assert found['datasets'] == ['imagenet'] and found['config'] == 'classifier.py' and 'model-index' not in found
    assert found['trunk']['file'] == 'trunk.safetensors' and found['trunk']['fingerprint'] == weights['trunk']
    assert found['adapter'] == {'method': 'DAGA', 'fingerprint': weights['adapters']}
    assert ('put `trunk.safetensors` into the folder that' in card.text) != with_trunk and 'Not measured' in card.text
    for name in ('README.md', 'classifier.py'):
        assert str(run.folder) not in (path.parent / name).read_text(), 'a path of this machine'


def test_its_card_has_the_metrics_of_a_test_of_these_weights(run, tmp_path):
    measured = [
        '--work-dir',
        tmp_path / 'test',
        '--cfg-options',
        f'visualizer.name={tmp_path}',
        f'experiment_name={tmp_path}',
    ]
    assert call(load_tool('test'), run.config, run.checkpoint, *measured) is None
    (file,) = (path for path in tmp_path.glob('test/*/*.json') if path.stem == path.parent.name)
    path = published(run, tmp_path, '--metrics', file, '--license', 'mit')
    found = ModelCard.load(path.parent / 'README.md').data
    assert found.license == 'mit' and found.metrics == ['accuracy/top1']
    assert found.eval_results[0].metric_value == run.score['accuracy/top1']
    file.write_text(file.read_text().replace(found.trunk['fingerprint'], '0' * 16))
    message = call(load_tool('publish_model'), run.config, run.checkpoint, '--out', tmp_path, '--metrics', file)
    assert f'{file} was measured with other weights: the fingerprint of trunk is 0000' in message


def test_the_trunk_of_a_checkpoint_is_looked_for_in_the_folder_that_an_option_names(run, tmp_path):
    images = next((run.folder / 'data/imagenet/val').iterdir())
    arguments = [images, run.config, run.checkpoint, '--out', tmp_path / 'out', '--device', 'cpu', '--cfg-options']
    arguments.append('model.backbone.init_cfg=None')  # as mmdet and mmseg have it in their inferencers
    trunk = run.folder / 'trunk.safetensors'
    moved = trunk.rename(tmp_path / trunk.name)
    try:
        assert 'the checkpoint does not hold the trunk' in call(load_tool('infer'), *arguments)
        assert call(load_tool('infer'), *arguments, f'dinov3_checkpoints={tmp_path}') is None
    finally:
        moved.rename(trunk)


def test_a_config_that_names_another_trunk_is_noticed(run, tmp_path):
    whole = published(run, tmp_path, '--trunk')
    other = write_trunk(tmp_path / 'other.safetensors', factor=1.1)
    option = f'model.backbone.init_cfg.checkpoint={other}'
    message = call(load_tool('publish_model'), run.config, whole, '--out', tmp_path, '--cfg-options', option)
    assert 'the trunk in the checkpoint is not that of' in message
    message = call(load_tool('publish_model'), run.config, run.checkpoint, '--out', tmp_path, '--cfg-options', option)
    assert 'was trained on the trunk' in message


def test_a_training_goes_on_from_the_last_checkpoint_of_a_folder(run, tmp_path, capsys):
    arguments = [run.config, '--work-dir', tmp_path / 'more', '--resume', run.config.parent / 'run']
    names = [f'visualizer.name={tmp_path}', f'experiment_name={tmp_path.name}']
    assert call(load_tool('train'), *arguments, '--cfg-options', 'train_cfg.max_epochs=4', *names) is None
    assert {path.name for path in (tmp_path / 'more').glob('epoch_*.pth')} == {'epoch_4.pth'}
    message = call(load_tool('train'), run.config, '--work-dir', tmp_path / 'new', '--resume', tmp_path)
    assert f'--resume {tmp_path}: this folder has no last_checkpoint' in message
    message = call(load_tool('train'), run.config, '--work-dir', tmp_path / 'new', '--resume', tmp_path / 'a.pth')
    assert f'no checkpoint {tmp_path}/a.pth' in message


@pytest.mark.parametrize('hooks', ['', ", dict(type='EMAHook')"], ids=['plain', 'averaged'])
def test_a_dry_run_reports_and_leaves_nothing(hooks, run, tmp_path, capsys):
    config, name = tmp_path / 'config.py', f'visualizer.name={tmp_path}'
    config.write_text(f"_base_ = '{run.config}'\ncustom_hooks = [*_base_.custom_hooks{hooks}]\n")
    arguments = [config, '--dry-run', '--work-dir', tmp_path / 'new', '--cfg-options', name]
    assert call(load_tool('train'), *arguments) is None
    report = capsys.readouterr().out
    assert all(word in report for word in ('parameters', 'batch       7 images', 'memory', 'written and read back'))
    assert 'step ' in report and 'training    9 steps in' in report
    assert 'validation  1 of 1 batches in' in report and 'accuracy/top1; one picture drawn' in report
    assert not (tmp_path / 'new').exists()


def test_a_dry_run_finds_what_is_wrong_before_it_costs_hours(run, tmp_path):
    options = [f'visualizer.name={tmp_path}', 'optim_wrapper.optimizer.lr=1e38']
    arguments = [run.config, '--dry-run', '--work-dir', tmp_path / 'new', '--cfg-options', *options]
    assert 'is not finite in step' in call(load_tool('train'), *arguments)
    assert not (tmp_path / 'new').exists()


def test_weights_that_layers_share_are_written_for_each(run):
    checkpoint = load_checkpoint_file(run.checkpoint)
    state = checkpoint['state_dict']
    state['head.tied'] = state['head.fc.weight'].view_as(state['head.fc.weight'])
    found, *_ = load_tool('publish_model').publish(load_config(run.config), checkpoint, with_trunk=False)
    assert torch.equal(safetensors.torch.load(safetensors.torch.save(found))['head.tied'], state['head.fc.weight'])
