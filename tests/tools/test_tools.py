"""The command lines: help texts, and one clear line for what can't be done."""

import pytest

from demo.scenes import write_ade20k

from ..conftest import REPOSITORY
from .conftest import run_script

CONFIG = 'configs/mmseg/upernet_daga-vits16_vitadapter_8xb2-160k_ade20k-512x512.py'
KNN = 'configs/mmpretrain/knn_cifar10.py'
COMMANDS = [path for path in (REPOSITORY / 'tools').rglob('*.py') if '__main__' in path.read_text()]
TOOLS = sorted(path.relative_to(REPOSITORY) for path in COMMANDS)


@pytest.mark.parametrize('tool', TOOLS, ids=str)
def test_help_shows_an_example(tool):
    result = run_script(tool, '--help')
    assert result.returncode == 0 and f'python {tool}' in result.stdout


@pytest.mark.parametrize(
    ('command', 'message'),
    [
        (('tools/train.py', 'nowhere.py'), 'no config nowhere.py'),
        (('tools/test.py', 'nowhere.py', 'a.pth'), 'no config nowhere.py'),
        (('tools/infer.py', 'nowhere.jpg', CONFIG, 'a.pth', '--out', '/tmp'), 'no image at nowhere.jpg'),
        (('tools/infer.py', 'docs/images', CONFIG, 'nowhere.pth', '--out', '/tmp'), 'no checkpoint nowhere.pth'),
        (('tools/test.py', CONFIG, 'nowhere.pth', '--cfg-options', 'ade20k_root=/'), 'no checkpoint nowhere.pth'),
        (
            ('tools/train.py', CONFIG, '--cfg-options', 'ade20k_root=/nowhere'),
            'no data set at /nowhere: --cfg-options ade20k_root=PATH or ADE20K_ROOT=PATH names its place',
        ),
        (
            ('tools/test.py', KNN, 'none', '--show-dir', 'pictures', '--cfg-options', 'cifar10_root=CIFAR10'),
            '--show-dir: such a test has no predictions to draw',
        ),
    ],
)
def test_one_line_says_what_is_wrong(command, message, tmp_path):
    for split in ('train', 'test'):
        (tmp_path / split / 'cat').mkdir(parents=True)
        (tmp_path / split / 'cat/0.png').touch()
    result = run_script(*(str(part).replace('CIFAR10', str(tmp_path)) for part in command))
    assert result.returncode == 1 and result.stderr.strip().splitlines()[-1].startswith(message)
    assert 'Traceback' not in result.stderr


@pytest.mark.parametrize(
    ('command', 'message'),
    [
        (('tools/infer.py', 'a.png', CONFIG, 'a.pth', '--out', 'README.md'), '--out: README.md is a file, expected a'),
        (
            ('tools/infer.py', 'a.png', CONFIG, 'a.pth', '--out', '.', '--score', '30'),
            '--score: expected a number',
        ),
        (('tools/publish_model.py', CONFIG, 'a.pth', '--out', 'README.md/a'), '--out: README.md is a file, expected a'),
        (('tools/report.py', 'work_dirs', '--out', 'docs'), '--out: docs is a folder, expected a file'),
    ],
)
def test_arguments_that_cannot_be_meant_are_refused(command, message):
    result = run_script(*command)
    assert result.returncode == 2 and f'error: argument {message}' in result.stderr


def test_missing_weights_end_a_training_with_the_cure(tmp_path):
    root = write_ade20k(tmp_path / 'ade20k', 2, 1, size=(64, 64)) / 'ADEChallengeData2016'
    options = ['--cfg-options', f'ade20k_root={root}', 'dinov3_checkpoints=/nowhere']
    result = run_script('tools/train.py', CONFIG, '--work-dir', tmp_path / 'run', *options)
    assert result.returncode != 0
    assert 'no weights at /nowhere/dinov3_vits16' in result.stderr and 'docs/weights.md' in result.stderr
