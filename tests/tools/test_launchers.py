"""The launchers' shell scripts: what they need, what they start, what they say when they can't."""

import os
import socket
import stat
import subprocess
import sys

import pytest

from ..conftest import REPOSITORY

USAGE = {
    'dist_train': 'CONFIG GPUS [OPTIONS of tools/train.py]',
    'dist_test': 'CONFIG CHECKPOINT GPUS [OPTIONS of tools/test.py]',
    'slurm_train': 'PARTITION JOB_NAME CONFIG [OPTIONS of tools/train.py]',
    'slurm_test': 'PARTITION JOB_NAME CONFIG CHECKPOINT [OPTIONS of tools/test.py]',
}


def run(tool: str, *arguments, path: str = '', **environment) -> subprocess.CompletedProcess:
    environment = {'PATH': f'{path}:{os.path.dirname(sys.executable)}:{os.environ["PATH"]}'} | environment
    return subprocess.run(
        [f'tools/{tool}.sh', *map(str, arguments)], capture_output=True, text=True, cwd=REPOSITORY,
        env=os.environ | environment,
    )  # fmt: skip


@pytest.mark.parametrize('tool', USAGE)
def test_launchers_say_what_they_need(tool):
    usage = f'usage: tools/{tool}.sh {USAGE[tool]}\n'
    shown = run(tool, '--help')
    assert shown.returncode == 0 and shown.stdout.startswith(usage) and not shown.stderr
    few = run(tool, *'abc'[: USAGE[tool].split('[')[0].count(' ') - 1])
    assert few.returncode == 2 and few.stderr.startswith(usage) and not few.stdout


@pytest.mark.parametrize(('tool', 'arguments'), [('dist_train', ('a.py', 2)), ('dist_test', ('a.py', 'b.pth', 2))])
def test_a_port_in_use_is_one_line(tool, arguments):
    with socket.create_server(('', 0)) as other:
        port = other.getsockname()[1]
        result = run(tool, *arguments, PORT=str(port))
    assert result.returncode == 1 and not result.stdout
    assert result.stderr.startswith(f'{tool}.sh: port {port}: Address already in use')
    assert result.stderr.endswith('; PORT=NUMBER names another one\n') and result.stderr.count('\n') == 1


def stand_in(folder, name: str, script: str) -> None:
    """A program of that name in a folder."""
    path = folder / name
    path.write_text(f'#!/bin/sh\n{script}\n')
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def test_torchrun_gets_machines_processes_and_the_command(tmp_path):
    stand_in(tmp_path, 'python', 'for word in "$@"; do echo "$word"; done')
    options = dict(NNODES='2', NODE_RANK='1', MASTER_ADDR='there', PORT='1234')
    result = run('dist_test', 'a b.py', 'c.pth', 4, '--work-dir', 'd e', PYTHON=str(tmp_path / 'python'), **options)
    assert result.stdout.splitlines() == [
        '-m', 'torch.distributed.run', '--nnodes=2', '--node_rank=1', '--master_addr=there', '--master_port=1234',
        '--nproc_per_node=4', 'tools/test.py', 'a b.py', 'c.pth', '--launcher', 'pytorch', '--work-dir', 'd e',
    ]  # fmt: skip
    result = run('dist_train', 'a.py', 8, PYTHON=str(tmp_path / 'python'), NODE_RANK='1')
    assert result.stdout.splitlines()[-5:] == ['--nproc_per_node=8', 'tools/train.py', 'a.py', '--launcher', 'pytorch']


def test_slurm_gets_tasks_resources_and_the_command(tmp_path):
    stand_in(tmp_path, 'srun', 'echo port=$MASTER_PORT; for word in "$@"; do echo "$word"; done')
    options = dict(GPUS='16', GPUS_PER_NODE='4', CPUS_PER_TASK='3', SRUN_ARGS='--gres=none --time=5', PORT='1234')
    result = run('slurm_test', 'long', 'job', 'a b.py', 'c.pth', '--work-dir', 'd e', path=str(tmp_path), **options)
    assert result.stdout.splitlines() == [
        'port=1234', '--partition=long', '--job-name=job', '--gres=gpu:4', '--ntasks=16', '--ntasks-per-node=4',
        '--cpus-per-task=3', '--kill-on-bad-exit=1', '--gres=none', '--time=5', 'python', '-u', 'tools/test.py',
        'a b.py', 'c.pth', '--launcher', 'slurm', '--work-dir', 'd e',
    ]  # fmt: skip
    result = run('slurm_train', 'long', 'job', 'a.py', path=str(tmp_path), GPUS='2')
    assert {'--gres=gpu:2', '--ntasks=2', '--ntasks-per-node=2', 'tools/train.py'} < set(result.stdout.splitlines())


def test_without_slurm_there_is_one_line():
    result = run('slurm_train', 'long', 'job', 'a.py')
    assert result.returncode == 1 and result.stderr.startswith('slurm_train.sh: there is no srun here')
