"""Saves that fail or were cut off, weights that must not be saved, workers that die."""

import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import torch
import torch.multiprocessing as mp
from mmengine.fileio import LocalBackend, register_backend
from mmengine.optim import OptimWrapperDict
from torch.utils.data import DataLoader
from torch.utils.data._utils import signal_handling

from daga_mm.engine import CheckpointHook, run_errors
from daga_mm.errors import RunError
from daga_mm.io import AtomicBackend

from ..toys import Do, Line, Points, toy_runner


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.suffix in ('.pth', '.part'))


def is_whole(path: Path, iteration: int) -> bool:
    checkpoint = torch.load(path, weights_only=True)
    return checkpoint['meta']['iter'] == iteration and 'slope.weight' in checkpoint['state_dict']


def fill_the_disk(runner, name: str = 'iter_4.pth') -> None:
    """No byte of this checkpoint will find room."""
    (Path(runner.work_dir) / f'{name}.part').symlink_to('/dev/full')


def test_a_full_disk_ends_the_run_and_says_what_is_left(tmp_path):
    with pytest.raises(RunError, match=r'No space left on device.*iter_2\.pth.*--resume'):
        toy_runner(tmp_path, Do(3, fill_the_disk)).train()
    assert files(tmp_path) == ['best_score_iter_2.pth', 'iter_2.pth']
    assert is_whole(tmp_path / 'iter_2.pth', 2) and is_whole(tmp_path / 'best_score_iter_2.pth', 2)
    assert (tmp_path / 'last_checkpoint').read_text() == str(tmp_path / 'iter_2.pth')


def test_a_disk_without_room_for_the_best_one_keeps_the_one_before(tmp_path):
    with pytest.raises(RunError, match=r'No space left on device.*iter_4\.pth'):
        toy_runner(tmp_path, Do(3, lambda runner: fill_the_disk(runner, 'best_score_iter_4.pth'))).train()
    assert files(tmp_path) == ['best_score_iter_2.pth', 'iter_4.pth']
    assert is_whole(tmp_path / 'best_score_iter_2.pth', 2)


def test_a_disk_without_room_for_the_log_ends_the_run_in_the_same_way(tmp_path):
    def fill(runner) -> None:
        (file,) = tmp_path.glob('*/vis_data/scalars.json')
        file.unlink()
        file.symlink_to('/dev/full')

    with pytest.raises(RunError, match=r'No space left on device.*iter_2\.pth'):
        toy_runner(tmp_path, Do(2, fill)).train()
    assert is_whole(tmp_path / 'iter_2.pth', 2)


def test_a_work_dir_that_goes_away_ends_the_run(tmp_path):
    def remove(runner) -> None:
        shutil.rmtree(tmp_path / 'run')
        (tmp_path / 'run').touch()

    with pytest.raises(RunError, match=f'{tmp_path}/run: .*File exists'):
        toy_runner(tmp_path / 'run', Do(1, remove)).train()


def test_what_a_killed_save_left_is_cleared_away(tmp_path):
    (tmp_path / 'iter_2.pth.part').write_bytes(b'half')
    toy_runner(tmp_path, steps=1).train()
    assert not list(tmp_path.glob('*.part'))


def test_the_old_ones_go_after_the_new_one_is_whole(tmp_path, monkeypatch):
    seen = []
    put = AtomicBackend.put

    def watched(self, obj, filepath):
        seen.append((Path(filepath).name, files(tmp_path)))
        put(self, obj, filepath)

    monkeypatch.setattr(AtomicBackend, 'put', watched)
    toy_runner(tmp_path).train()
    before = dict(reversed(seen))  # mmengine writes it again when the validation has found a best one
    assert before['iter_4.pth'] == ['best_score_iter_2.pth', 'iter_2.pth']
    assert 'best_score_iter_2.pth' in before['best_score_iter_4.pth']
    assert files(tmp_path) == ['best_score_iter_6.pth', 'iter_6.pth']


def test_a_run_says_on_its_own_disk_where_its_last_checkpoint_is(tmp_path):
    written = []

    @register_backend('elsewhere', force=True)
    class Elsewhere(LocalBackend):
        def put_text(self, obj, filepath, encoding='utf-8'):
            written.append(filepath)

    runner = toy_runner(tmp_path / 'run', steps=2)
    (hook,) = (hook for hook in runner.hooks if isinstance(hook, CheckpointHook))
    hook.out_dir, hook.backend_args = str(tmp_path / 'out'), {'backend': 'elsewhere'}
    runner.train()
    assert not written, 'mmengine looks for it in the work dir'
    assert Path((tmp_path / 'run/last_checkpoint').read_text()) == tmp_path / 'out/run/iter_2.pth'


def test_weights_that_are_not_finite_are_not_saved(tmp_path):
    def spoil(runner) -> None:
        runner.model.slope.weight.data.fill_(torch.inf)
        runner.optim_wrapper.step = lambda: None

    lost = r'4 iterations 1 parameters or buffers are not finite, slope\.weight the first.*checkpoint is \S+iter_2'
    with pytest.raises(RunError, match=lost):
        toy_runner(tmp_path, Do(3, spoil)).train()
    assert files(tmp_path) == ['best_score_iter_2.pth', 'iter_2.pth'] and is_whole(tmp_path / 'iter_2.pth', 2)


def test_statistics_that_are_not_finite_are_not_saved(tmp_path):
    model = Line()
    model.register_buffer('running_mean', torch.zeros(1))
    with pytest.raises(RunError, match=r'running_mean the first'):
        toy_runner(tmp_path, Do(3, lambda runner: model.running_mean.fill_(torch.nan)), model=model).train()
    assert is_whole(tmp_path / 'iter_2.pth', 2)


def test_a_killed_worker_of_the_data_loader_is_told_as_such(tmp_path):
    message = r'DataLoader worker.*(killed by signal|ended with exit code -9).*num_workers.*--resume'
    with pytest.raises(RunError, match=message):
        toy_runner(tmp_path, data=Points(deadly_after=tmp_path / 'iter_2.pth'), workers=1).train()
    with suppress(RuntimeError):  # where the run noticed by itself, PyTorch's signal of the same death is still to come
        time.sleep(2)
    assert is_whole(tmp_path / 'iter_2.pth', 2)


def handle_signal() -> None:
    """PyTorch's handler of SIGCHLD, where a worker was killed."""
    kill = 'def handler(): raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. ")'
    space: dict = {}
    exec(compile(kill, signal_handling.__file__, 'exec'), space)
    space['handler']()


def test_the_signal_of_a_lost_worker_may_arrive_while_an_error_is_examined(monkeypatch):
    causes = run_errors._causes

    def interrupted(error):
        monkeypatch.setattr(run_errors, '_causes', causes)
        handle_signal()

    monkeypatch.setattr(run_errors, '_causes', interrupted)
    killed = pytest.raises(RunError, match=r'worker \(pid 7\) is killed by signal: Killed')
    with killed, run_errors.loader_errors():
        raise ConnectionResetError(104, 'Connection reset by peer')


def test_a_worker_whose_error_says_nothing_of_it_is_named_by_its_exit_code(monkeypatch):
    def cut_off(timeout: float) -> None:
        raise EOFError('Ran out of input')

    loader = DataLoader(Points(), num_workers=1)
    with (
        pytest.raises(RunError, match=r'worker \(pid \d+\).* -9'),
        run_errors.loader_errors(),
    ):
        batches = iter(loader)
        monkeypatch.setattr(batches._data_queue, 'get', cut_off)
        with suppress(RuntimeError):  # of the signal
            batches._workers[0].kill()
            time.sleep(2)
        next(batches)


def test_an_error_that_names_a_worker_is_not_one_of_a_lost_worker():
    with pytest.raises(ValueError, match='^DataLoader worker'), run_errors.loader_errors():
        raise ValueError('DataLoader worker (pid 7) is killed')


def broken_head(runner) -> None:
    raise IndexError('a head of somebody fails')


def _rank(rank: int, work_dir: Path, faulty: int, fault: Callable) -> None:
    torch.distributed.init_process_group('gloo', init_method=f'file://{work_dir}/store', rank=rank, world_size=2)
    hooks = [Do(3, fault)] if rank == faulty else []
    try:
        toy_runner(work_dir, *hooks).train()
    except Exception as error:
        (work_dir / f'error{rank}').write_text(str(error))
    finally:
        torch.distributed.destroy_process_group()


def test_all_ranks_hear_of_a_full_disk(tmp_path):
    mp.start_processes(_rank, (tmp_path, 0, fill_the_disk), nprocs=2, start_method='forkserver')
    first, second = ((tmp_path / f'error{rank}').read_text() for rank in range(2))
    assert first == second and 'No space left on device' in first
    assert is_whole(tmp_path / 'iter_2.pth', 2)


def test_all_ranks_hear_what_ended_one_of_them(tmp_path):
    mp.start_processes(_rank, (tmp_path, 1, broken_head), nprocs=2, start_method='forkserver')
    assert (tmp_path / 'error1').read_text() == 'a head of somebody fails'
    assert (tmp_path / 'error0').read_text() == 'rank 1: IndexError: a head of somebody fails'
    last = Path((tmp_path / 'last_checkpoint').read_text())  # the first rank may have saved once more
    assert is_whole(last, int(last.stem.removeprefix('iter_')))


def test_several_optimisers_have_no_rate_to_scale(tmp_path):
    runner = toy_runner(tmp_path)
    wrappers = OptimWrapperDict(
        a=runner.build_optim_wrapper(dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=1)))
    )
    runner.scale_lr(wrappers, None)
    assert wrappers.param_groups['a'][0]['lr'] == 1
