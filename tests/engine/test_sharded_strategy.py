"""Weights in the shards of two processes: the answer of one process, with half of the trunk in each."""

import itertools
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.runner import Runner

from daga_mm.backbones import DAGAViT
from daga_mm.backbones.adapter_only import TrunkId
from daga_mm.compat import load_checkpoint_file

from ..commands import free_port, metrics_of, run
from ..conftest import REPOSITORY, write_trunk
from .test_same_answer import alone, average_in_one_process

VARIANTS = {
    'inline': {},
    'frozen guidance, recomputed': {'model.backbone.guidance': dict(source='frozen'), 'model.backbone.with_cp': True},
    'small guidance': {'model.backbone.guidance': dict(source='frozen', layer=2, scale=0.5)},
    'full fine-tuning': {'model.backbone.frozen': False, 'model.backbone.daga_layers': ()},
}


@pytest.fixture(scope='module')
def config_of(prepare, tmp_path_factory):
    """A function that gives a variant's config: two epochs of four steps, whose gradients are clipped."""
    first = prepare('classification')
    trunk = write_trunk(tmp_path_factory.mktemp('trunk') / 'trunk.safetensors')
    folder = tmp_path_factory.mktemp('sharded')
    names = itertools.count()

    def config_of(variant, **options):
        config = first.copy()
        config.merge_from_dict(
            {
                'strategy.type': 'daga_mm.ShardedStrategy',
                'model.backbone.init_cfg.checkpoint': trunk,
                'optim_wrapper.clip_grad': dict(max_norm=0.5),
                'train_cfg.max_epochs': 2,
                'work_dir': str(folder / f'run{next(names)}'),
                **VARIANTS[variant],
                **options,
            }
        )
        config.visualizer.name = Path(config.work_dir).name  # mmengine keeps them by name
        config.custom_imports.imports.append('tests.engine.shards')
        config.custom_hooks.append(dict(type='mmengine.ShardNotes'))
        config.dump(f'{config.work_dir}.py')
        return config

    return config_of


def results(config):
    notes = [torch.load(Path(config.work_dir) / f'rank{rank}.pth', weights_only=True) for rank in range(2)]
    return SimpleNamespace(config=config, notes=notes, end=notes[0]['end'])


@pytest.fixture(scope='module')
def inline(config_of):
    """A run as a user starts it."""
    config = config_of('inline')
    run('tools/dist_train.sh', f'{config.work_dir}.py', 2, '--work-dir', config.work_dir, PORT=free_port())
    return results(config)


@pytest.fixture(scope='module')
def others(config_of, inline, tmp_path_factory):
    """The other variants; the first one resumed in its middle, also from a file as a run without shards writes it."""
    by_name = Path(inline.config.work_dir, 'epoch_1.pth')
    by_number = tmp_path_factory.mktemp('resumed') / 'epoch_1.pth'
    content = load_checkpoint_file(by_name)
    groups = content['optimizer']['param_groups']
    numbers = {name: number for number, name in enumerate(name for group in groups for name in group['params'])}
    content['optimizer']['state'] = {numbers[key]: value for key, value in content['optimizer']['state'].items()}
    for group in groups:
        group['params'] = [numbers[name] for name in group['params']]
    torch.save(content, by_number)
    configs = {name: config_of(name) for name in VARIANTS if name != 'inline'} | {
        f'resumed by {kind}': config_of('inline', resume=True, load_from=str(path))
        for kind, path in (('name', by_name), ('number', by_number))
    }
    files = [f'{config.work_dir}.py' for config in configs.values()]
    command = ['torchrun', '--nproc_per_node', 2, '--master_port', free_port(), '-m', 'tests.engine.several_runs']
    run(*command, *files)
    return {name: results(config) for name, config in configs.items()}


@pytest.mark.parametrize('variant', VARIANTS)
def test_training_averages_the_gradients_of_the_shards(inline, others, tmp_path, variant):
    sharded = inline if variant == 'inline' else others[variant]
    start, iterations = sharded.notes[0]['start'], len(sharded.notes[0]['batches'])
    ends, batches = average_in_one_process(sharded.config, tmp_path, start, iterations)
    assert [notes['batches'] for notes in sharded.notes] == batches
    trained = '.trunk.' if variant == 'full fine-tuning' else '.adapters.'
    assert any(trained in name and not torch.equal(value, sharded.end[name]) for name, value in start.items())
    torch.testing.assert_close(sharded.end, ends[0], rtol=0, atol=1e-5)


@pytest.mark.parametrize('variant', VARIANTS)
def test_each_process_holds_half_of_the_trunk(inline, others, variant):
    sharded = inline if variant == 'inline' else others[variant]
    held = [notes['held'] for notes in sharded.notes]
    total = sum(value.numel() for name, value in sharded.end.items() if 'trunk.model.blocks.' in name)
    assert sum(held) == total and all(0.49 < part / total < 0.51 for part in held)


@pytest.mark.parametrize('kind', ['name', 'number'])
def test_a_resumed_run_ends_as_one_that_was_not_interrupted(inline, others, kind):
    resumed = others[f'resumed by {kind}']
    assert len(resumed.notes[0]['batches']) == len(inline.notes[0]['batches']) // 2
    torch.testing.assert_close(resumed.end, inline.end, rtol=0, atol=0)


def test_checkpoint_is_that_of_any_other_run(inline, tmp_path):
    path = Path(inline.config.work_dir, 'epoch_2.pth')
    content = load_checkpoint_file(path)
    state = content['state_dict']
    identity = TrunkId.from_tensor(state.pop('backbone.trunk_id'))
    assert state and not any('trunk' in key or 'wrapped' in key for key in state)
    assert state.keys() == {key for key in inline.end if '.trunk.' not in key}
    assert all(torch.equal(value, inline.end[key]) for key, value in state.items())

    config = alone(inline.config, tmp_path)
    config.load_from = str(path)
    runner = Runner.from_cfg(config)
    measured = metrics_of(inline.config.work_dir)
    assert {key: measured[key] for key in runner.test()} == runner.test()
    backbone: DAGAViT = runner.model.backbone
    assert content['meta']['fingerprints'] == backbone.fingerprints()
    assert identity.fingerprint == backbone.fingerprints()['trunk']

    optim_wrapper = runner.build_optim_wrapper(config.optim_wrapper)
    optim_wrapper.load_state_dict(content['optimizer'])
    for group in optim_wrapper.optimizer.param_groups:
        for parameter in group['params']:
            assert optim_wrapper.optimizer.state[parameter]['momentum_buffer'].shape == parameter.shape


def test_one_process_is_told_to_be_several(config_of):
    config = config_of('inline')
    with pytest.raises(AssertionError, match='needs processes to hold them: start it with tools/dist_train.sh'):
        command = ['python', 'tools/train.py', f'{config.work_dir}.py', '--work-dir', config.work_dir]
        run(*command, PYTHONPATH=REPOSITORY)  # where the config's hooks are, in tests
