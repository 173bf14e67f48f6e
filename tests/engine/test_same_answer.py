"""Two processes give the answer of one: what they train to, what they look at, what they measure."""

import itertools
import sys
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.dist import get_dist_info
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from daga_mm.datasets.samplers import set_seed

from ..commands import free_port, metrics_of, run
from ..small_runs import ITERATIONS, TRAINED
from .rank_notes import paths, state

NUMBERS = itertools.count()
FAST = ('classification',)
EACH = [task if task in FAST else pytest.param(task, marks=pytest.mark.slow) for task in TRAINED]
RUNS: dict[str, SimpleNamespace] = {}


@pytest.fixture
def two(request, prepare):
    """A task's training and evaluation in two processes: config, its file, work dir and the processes' notes."""
    task = request.param
    if task not in RUNS:
        config = prepare(task)
        config.custom_imports.imports.append('tests.engine.rank_notes')
        config.custom_hooks.append(dict(type='mmengine.RankNotes'))
        file = Path(config.work_dir).with_suffix('.py')
        config.dump(file)
        output = run('tools/dist_train.sh', file, 2, '--work-dir', config.work_dir, PORT=free_port())
        notes = [torch.load(Path(config.work_dir) / f'rank{rank}.pth', weights_only=True) for rank in range(2)]
        RUNS[task] = SimpleNamespace(config=config, file=file, output=output, notes=notes)
    return RUNS[task]


tasks = pytest.mark.parametrize('two', EACH, indirect=True)


@contextmanager
def as_shard(shard: int):
    """Samplers that are built in here believe to be in this one of two processes."""
    with pytest.MonkeyPatch.context() as patch:
        for module in list(sys.modules.values()):
            if getattr(module, 'get_dist_info', None) is get_dist_info and hasattr(module, 'Sampler'):
                patch.setattr(module, 'get_dist_info', lambda: (shard, 2))
                if hasattr(module, 'sync_random_seed'):
                    patch.setattr(module, 'sync_random_seed', lambda: 0)
        yield


def alone(config: Config, work_dir: Path) -> Config:
    """The config for a run in this process, which keeps loggers and visualizers by name."""
    config = config.copy()
    config.work_dir = str(work_dir)
    config.visualizer.name = config.experiment_name = f'same_answer_{next(NUMBERS)}'
    config.custom_hooks = [hook for hook in config.custom_hooks if hook['type'] != 'mmengine.RankNotes']
    config.log_level = 'ERROR'
    return config


def batches_of(loader):
    """Those of one epoch after the other."""
    for epoch in itertools.count():
        if hasattr(loader.sampler, 'set_epoch'):
            loader.sampler.set_epoch(epoch)
        yield from loader


def average_in_one_process(
    config: Config, work_dir: Path, start: dict, iterations: int
) -> tuple[list[dict], list[list]]:
    """Train in this process on both shards, with the mean of their gradients.

    Each shard has a model of its own, since batch norm's statistics are those of a process.

    Returns:
        The states of both models at the end, and the shards' batches.
    """
    runners, batches = [], [[], []]
    for shard in range(2):
        with as_shard(shard):
            runner = Runner.from_cfg(alone(config, work_dir))
            runner.loader = runner.build_dataloader(config.train_dataloader, seed=runner.seed)
        runner.model.load_state_dict(start)
        runner.optim_wrapper = runner.build_optim_wrapper(config.optim_wrapper)
        runner.model.train()
        runners.append(runner)
    for iteration in range(iterations):
        for shard, runner in enumerate(runners):
            if iteration == 0:
                runner.batches = batches_of(runner.loader)
            batch = next(runner.batches)
            batches[shard].append(paths(batch))
            set_seed(runner.seed, iteration, shard)  # as ExactResumeHook does for a rank
            with runner.optim_wrapper.optim_context(runner.model):
                data = runner.model.data_preprocessor(batch, training=True)
                loss, _ = runner.model.parse_losses(runner.model(**data, mode='loss'))
            runner.optim_wrapper.backward(loss)
        for pair in zip(*(runner.model.parameters() for runner in runners), strict=True):
            if pair[0].requires_grad:
                mean = sum(parameter.grad for parameter in pair) / 2
                for parameter in pair:
                    parameter.grad.copy_(mean)
        for runner in runners:
            runner.optim_wrapper.step()
            runner.optim_wrapper.zero_grad()
    return [state(runner) for runner in runners], batches


@tasks
def test_training_averages_the_gradients_of_the_shards(two, tmp_path):
    start, iterations = two.notes[0]['start'], len(two.notes[0]['batches'])
    ends, batches = average_in_one_process(two.config, tmp_path, start, iterations)
    assert [notes['batches'] for notes in two.notes] == batches
    first, second = (notes['end'] for notes in two.notes)
    moved = [name for name, value in start.items() if not torch.equal(value, first[name])]
    assert any('.adapters.' in name or 'probes' in name for name in moved), 'nothing was trained'
    torch.testing.assert_close(first, ends[0], rtol=0, atol=1e-5)
    # A checkpoint was saved, after which both have the first one's statistics of batch norm.
    assert all(torch.equal(value, second[name]) for name, value in first.items())


@tasks
def test_the_samples_of_both_are_the_data_set(two):
    first, second = (itertools.chain(*notes['batches']) for notes in two.notes)
    everything = [name for pair in zip(first, second, strict=True) for name in pair]
    init_default_scope(two.config.default_scope)
    total = len(Runner.build_dataloader(two.config.train_dataloader).dataset)
    assert len(everything) > total and len(set(everything[:total])) == total


@tasks
def test_evaluation_measures_what_one_process_does(two, tmp_path):
    checkpoint = next(Path(two.config.work_dir).glob(f'*_[{ITERATIONS}1].pth'))
    config = alone(two.config, tmp_path)
    config.load_from = str(checkpoint)
    one = Runner.from_cfg(config).test()
    assert one
    measured = metrics_of(two.config.work_dir)
    assert {key: measured[key] for key in one} == one
