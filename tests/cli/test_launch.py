"""Several processes on the CPU, as users start them: torchrun, Slurm, two machines; and what happens if one dies."""

import json
import os
import stat
import sys
import time
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from torch import nn

from daga_mm.cli import launch
from daga_mm.cli.launch import join_processes
from daga_mm.engine import CPUDataParallel
from daga_mm.evaluation import read_bank

from ..commands import free_port, metrics_of, run, start
from ..small_runs import ITERATIONS, TRAINED

ENVIRONMENT = ('RANK', 'WORLD_SIZE', 'LOCAL_RANK', 'MASTER_ADDR', 'MASTER_PORT')


@pytest.fixture
def alone(monkeypatch):
    """A process that nobody launched, on a machine without an accelerator; it notes the groups that it would join."""
    for name in ENVIRONMENT:
        monkeypatch.setenv(name, '')  # so that it is taken back
        monkeypatch.delenv(name)
    monkeypatch.setattr(launch, 'get_device', lambda: 'cpu')
    joined = []
    monkeypatch.setattr(launch.dist, 'init_process_group', lambda *args, **kwargs: joined.append((*args, kwargs)))
    return joined


def test_without_a_launcher_or_with_an_accelerator_nothing_happens(alone, monkeypatch):
    config = Config(dict(model_wrapper_cfg=None))
    join_processes(config, 'none')
    monkeypatch.setattr(launch, 'get_device', lambda: 'cuda')
    join_processes(config, 'pytorch')
    assert not alone and config.model_wrapper_cfg is None and 'RANK' not in os.environ


@pytest.mark.parametrize('launcher', ['pytorch', 'slurm', 'mpi'])
def test_a_process_that_nobody_launched_is_told_so(alone, launcher):
    with pytest.raises(RuntimeError, match=f'--launcher {launcher} '):
        join_processes(Config({}), launcher)


def test_slurms_names_become_torchs(alone, tmp_path, monkeypatch):
    path = tmp_path / 'scontrol'
    path.write_text('#!/bin/sh\n[ "$*" = "show hostnames n[1-2]" ] && printf "n1\\nn2\\n"\n')
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv('PATH', str(tmp_path), prepend=os.pathsep)
    for name, value in dict(PROCID=5, NTASKS=8, LOCALID=1, JOB_NODELIST='n[1-2]').items():
        monkeypatch.setenv(f'SLURM_{name}', str(value))
    config = Config(dict(env_cfg=dict(dist_cfg=dict(backend='nccl', timeout=7))))
    join_processes(config, 'slurm')
    assert [os.environ[name] for name in ENVIRONMENT] == ['5', '8', '1', 'n1', '29500']
    ((backend, options),) = alone
    assert backend == 'gloo' and options['timeout'].total_seconds() == 7


@pytest.mark.parametrize(
    ('given', 'taken'),
    [
        (None, dict(type='daga_mm.CPUDataParallel', broadcast_buffers=False, find_unused_parameters=True)),
        (dict(static_graph=True), dict(type='daga_mm.CPUDataParallel', static_graph=True)),
        (dict(type='daga_mm.Replica'), dict(type='daga_mm.Replica')),
    ],
)
def test_models_are_wrapped_for_the_cpu(alone, monkeypatch, given, taken):
    for name, value in zip(ENVIRONMENT, '01010', strict=True):
        monkeypatch.setenv(name, value)
    config = Config(dict(model_wrapper_cfg=given, find_unused_parameters=True))
    join_processes(config, 'pytorch')
    assert config.model_wrapper_cfg.to_dict() == taken


def test_synchronised_batch_norm_is_batch_norm_on_the_cpu(tmp_path):
    torch.distributed.init_process_group('gloo', init_method=f'file://{tmp_path}/store', rank=0, world_size=1)
    try:
        norm = nn.SyncBatchNorm(3)
        wrapped = CPUDataParallel(nn.Sequential(norm), device_ids=[0])
        images = torch.randn(4, 3, 5, 5)
        torch.testing.assert_close(wrapped(images), nn.BatchNorm2d(3)(images))
        assert wrapped.module[0].weight is norm.weight, 'the optimiser holds another'
    finally:
        torch.distributed.destroy_process_group()


@pytest.fixture
def launched(prepare):
    """A function that writes a task's small config to a file; returns both."""

    def write(task: str, **options) -> tuple[Config, Path]:
        config = prepare(task)
        config.merge_from_dict(options)
        file = Path(config.work_dir).with_suffix('.py')
        config.dump(file)
        return config, file

    return write


def machines(tool: str, *arguments, count: int = 2) -> list[str]:
    """What that many machines of one process each print; all of them are this one."""
    port = free_port()
    nodes = [
        start(f'tools/{tool}.sh', *arguments, PORT=port, NNODES=count, NODE_RANK=rank, MASTER_ADDR='127.0.0.1')
        for rank in range(count)
    ]
    outputs = [node.communicate()[0] for node in nodes]
    assert [node.returncode for node in nodes] == [0] * count, ''.join(output[-3000:] for output in outputs)
    return outputs


@pytest.mark.slow
@pytest.mark.parametrize('task', TRAINED)
def test_two_machines_train_and_test(launched, task):
    config, file = launched(task)
    first, second = machines('dist_train', file, 1)
    assert metrics_of(config.work_dir) and 'Saving checkpoint' in first and 'Saving checkpoint' not in second
    (checkpoint,) = (path for path in Path(config.work_dir).glob('*_?.pth') if not path.stem.startswith('best'))
    machines('dist_test', file, checkpoint, 1, '--work-dir', f'{config.work_dir}_test')
    validated, tested = metrics_of(config.work_dir), metrics_of(f'{config.work_dir}_test')
    assert {key: validated[key] for key in tested} == tested


@pytest.mark.slow
def test_two_processes_draw_one_set_of_pictures(launched):
    hook = dict(type='daga_mm.AttentionVisHook', images=(0, 2), log_interval=1)
    config, file = launched('segmentation', custom_hooks=[hook])
    run('tools/dist_train.sh', file, 2, PORT=free_port())
    drawn = [path.name for path in Path(config.work_dir).rglob('vis_image/*')]
    kinds = [f'{kind}_{number}' for kind in ('attention', 'features') for number in hook['images']]
    assert sorted(drawn) == sorted(f'{name}_{ITERATIONS}.png' for name in (*kinds, 'gates'))
    (curves,) = Path(config.work_dir).rglob('scalars.json')
    points = [line['step'] for line in map(json.loads, curves.open()) if 'adapters/daga/mixing/2' in line]
    assert points == list(range(1, ITERATIONS + 1))


@pytest.mark.slow  # tests/evaluation/test_feature_bank.py asks the same in two processes that nobody had to start
@pytest.mark.parametrize('tool', ['two processes', 'two machines'])
@pytest.mark.parametrize('task', ['knn', 'logreg'])
def test_probes_measure_what_one_process_does(launched, task, tool):
    """And their features are the same, of 15 images in two processes."""
    from mmengine.runner import Runner

    config, file = launched(task)
    if tool == 'two machines':
        machines('dist_test', file, config.load_from, 1)
    else:
        run('tools/dist_test.sh', file, config.load_from, 2, PORT=free_port())
    two = {path.name: read_bank(path) for path in Path(config.test_cfg.cache_dir).glob('*.safetensors')}
    measured = metrics_of(config.work_dir)
    config.test_cfg.cache_dir += '_one'
    config.log_level, config.visualizer.name, config.experiment_name = 'ERROR', f'{task} {tool}', f'{task} {tool}'
    one = Runner.from_cfg(config).test()
    assert one and {name: measured[name] for name in one} == one
    one = {path.name: read_bank(path) for path in Path(config.test_cfg.cache_dir).glob('*.safetensors')}
    assert set(one) == set(two) and len(one) == 2
    assert all(torch.equal(a, b) for name in one for a, b in zip(one[name], two[name], strict=True))


@pytest.mark.slow
def test_slurm_trains_and_tests(launched, tmp_path):
    """With a stand-in for srun that runs its tasks here."""
    (tmp_path / 'srun').write_text(f"""#!{sys.executable}
import os, subprocess, sys
words = sys.argv[1:]
count = int(next(word.split('=')[1] for word in words if word.startswith('--ntasks=')))
command = words[next(i for i, word in enumerate(words) if not word.startswith('-')) :]
own = dict(SLURM_NTASKS=str(count), SLURM_JOB_NODELIST='localhost', SLURM_NODELIST='localhost')
tasks = [
    subprocess.Popen(command, env=os.environ | own | dict(SLURM_PROCID=str(rank), SLURM_LOCALID=str(rank)))
    for rank in range(count)
]
sys.exit(max(task.wait() for task in tasks))
""")
    (tmp_path / 'scontrol').write_text('#!/bin/sh\necho localhost\n')
    for name in ('srun', 'scontrol'):
        (tmp_path / name).chmod(0o755)
    config, file = launched('classification')
    path = f'{tmp_path}:{os.path.dirname(sys.executable)}:{os.environ["PATH"]}'
    environment = dict(PATH=path, GPUS=2, PORT=free_port())
    run('tools/slurm_train.sh', 'debug', 'job', file, **environment)
    folder = f'{config.work_dir}_test'
    checkpoint = f'{config.work_dir}/epoch_1.pth'
    run('tools/slurm_test.sh', 'debug', 'job', file, checkpoint, '--work-dir', folder, **environment)
    validated, tested = metrics_of(config.work_dir), metrics_of(folder)
    assert tested and {key: validated[key] for key in tested if key in validated} == tested


@pytest.mark.slow
@pytest.mark.parametrize(
    ('death', 'words'),
    [
        ('kill', 'Signal 9 (SIGKILL) received'),
        ('exception', 'RuntimeError: this process fails'),
        ('silence', 'Timed out waiting 5000ms'),
    ],
)
def test_a_process_that_dies_ends_all_soon(launched, death, words):
    config, _ = launched(
        'classification',
        custom_imports=dict(imports=['daga_mm.compat', 'tests.cli.deaths'], allow_failed_imports=False),
        custom_hooks=[dict(type='mmengine.Death', kind=death)],
        **{'env_cfg.dist_cfg': dict(backend='nccl', timeout=5)},
    )
    file = Path(config.work_dir).with_suffix('.py')
    process = start('tools/dist_train.sh', file, 2, PORT=free_port())
    output, died = [], None
    for line in process.stdout:
        output.append(line)
        died = died or ('dies now' in line and time.monotonic())
    process.wait()
    text = ''.join(output)
    assert process.returncode != 0 and died, text[-3000:]
    assert time.monotonic() - died < 60
    assert words in text and 'Root Cause' in text, text[-3000:]


@pytest.mark.slow
def test_two_processes_of_which_one_is_killed_go_on_as_if_it_had_not_been(launched):
    ends = []
    for hooks in ([], [dict(type='mmengine.Death', kind='kill', iteration=9)]):
        config, file = launched(
            'classification',
            custom_imports=dict(imports=['daga_mm.compat', 'tests.cli.deaths'], allow_failed_imports=False),
            **{'train_cfg.max_epochs': 3},
        )
        config.custom_hooks = [*config.custom_hooks, *hooks]
        config.dump(file)
        process = start('tools/dist_train.sh', file, 2, PORT=free_port())
        output = process.communicate()[0]
        assert (process.returncode != 0) == bool(hooks), output[-3000:]
        if hooks:
            last = Path(config.work_dir, 'last_checkpoint').read_text()
            assert 0 < torch.load(last, weights_only=True)['meta']['iter'] <= 9, 'the last good one is whole'
            config.custom_hooks = config.custom_hooks[:-1]
            config.dump(file)
            run('tools/dist_train.sh', file, 2, '--resume', PORT=free_port())
        ends.append(torch.load(Path(config.work_dir, 'last_checkpoint').read_text(), weights_only=True))
    assert ends[0]['meta']['iter'] == ends[1]['meta']['iter'] > 9
    differing = [
        key for key, value in ends[0]['state_dict'].items() if not torch.equal(value, ends[1]['state_dict'][key])
    ]
    assert not differing
