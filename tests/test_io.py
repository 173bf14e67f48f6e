import pickle

import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.logging import HistoryBuffer

from daga_mm.io import allow_mmengine_checkpoints, load_checkpoint_file, local_file


def test_what_mmengine_stores_comes_back(tmp_path):
    history = HistoryBuffer([1.0, 4.0], [1, 1])
    dtypes = [np.dtype(code) for code in '?bBhHiIlLefdFD']
    saved = dict(
        message_hub=dict(log_scalars=dict(loss=history)),
        meta=dict(cfg='a = 1', seed=np.int64(3), dataset_meta=ConfigDict(classes=('a', 'b'), nested=dict(b=2))),
        arrays=[np.ones((2, 3), dtype) for dtype in [*dtypes, np.dtype('>f4')]],
        scalars=[dtype.type(1) for dtype in dtypes],
    )
    torch.save(saved, tmp_path / 'epoch_1.pth')
    loaded = load_checkpoint_file(tmp_path / 'epoch_1.pth')
    assert loaded['message_hub']['log_scalars']['loss'].statistics('mean') == 2.5
    assert loaded['meta'] == saved['meta'] and isinstance(loaded['meta']['dataset_meta'].nested, ConfigDict)
    for array, original in zip(loaded['arrays'], saved['arrays'], strict=True):
        assert array.dtype.type == original.dtype.type and np.array_equal(array, original)
    assert [type(scalar) for scalar in loaded['scalars']] == [dtype.type for dtype in dtypes]


# -- refusals -----------------------------------------------------------------------------------------------------


class Call:
    """Pickles as a call: whoever unpickles it makes the call."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


CODE = "raise SystemExit('code ran')"
METHOD = Call(getattr, HistoryBuffer, 'mean')
CALLS = {
    'exec': (Call(exec, CODE), 'exec'),
    'eval': (Call(eval, '1'), 'eval'),
    'getattr: a method': (Call(getattr, HistoryBuffer, '__init__'), 'builtins.getattr'),
    'getattr: of a method': (Call(getattr, METHOD, '__globals__'), 'builtins.getattr'),
    'getattr: of another class': (Call(getattr, ConfigDict, 'min'), 'builtins.getattr'),
    'getattr: of an array': (Call(getattr, np.ones(1), 'max'), 'builtins.getattr'),
    'array of objects': (np.array([Call(exec, CODE)], dtype=object), 'numpy.dtype'),
    'structured array': (np.zeros(1, dtype=[('a', 'f4')]), 'numpy.dtype'),
}


@pytest.mark.parametrize('zipped', [True, False])
@pytest.mark.parametrize('name', CALLS)
def test_calls_are_refused_and_named(name, zipped, tmp_path):
    payload, asked_for = CALLS[name]
    path = tmp_path / 'model.pth'
    torch.save({'state_dict': {'weight': torch.ones(2), 'extra': payload}}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ValueError, match=rf'model\.pth .* {asked_for},') as caught:
        load_checkpoint_file(path)
    assert_no_bad_advice(caught)
    allow_mmengine_checkpoints()
    with pytest.raises(pickle.UnpicklingError):  # what Runner.resume and load_from call
        torch.load(path)


@pytest.mark.parametrize('protocol', range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.filterwarnings('ignore:Detected pickle protocol')
def test_plain_pickles_are_refused(protocol, tmp_path):
    path = tmp_path / 'model.pkl'
    path.write_bytes(pickle.dumps({'a': Call(exec, CODE)}, protocol=protocol))
    with pytest.raises(ValueError, match=r'model\.pkl .*(exec|damaged)') as caught:
        load_checkpoint_file(path)
    assert_no_bad_advice(caught)


@pytest.mark.parametrize('zipped', [True, False])
def test_damaged_files_are_named(zipped, tmp_path):
    path = tmp_path / 'model.pth'
    torch.save({'weight': torch.ones(1000)}, path, _use_new_zipfile_serialization=zipped)
    whole = path.read_bytes()
    contents = [whole[:length] for length in (1, 10, 60, len(whole) // 2, len(whole) - 30, len(whole) - 1)]
    for content in [*contents, b'plain text', bytes(range(256)), whole.replace(b'weight', b'\xff' * 6)]:
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r'model\.pth was not loaded: it is damaged') as caught:
            load_checkpoint_file(path)
        assert_no_bad_advice(caught)
    with pytest.raises(FileNotFoundError):
        load_checkpoint_file(tmp_path / 'nowhere.pth')


def assert_no_bad_advice(caught: pytest.ExceptionInfo) -> None:
    """Torch's errors propose weights_only=False; no traceback of ours may."""
    assert 'weights_only' not in str(caught.value) + str(caught.value.__cause__ or '')
    assert caught.value.__suppress_context__


@pytest.mark.parametrize('rank', [0, 1])
def test_one_process_of_a_machine_fetches(rank, tmp_path, monkeypatch):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    monkeypatch.setenv('LOCAL_RANK', str(rank))
    fetched = []
    monkeypatch.setattr(torch.hub, 'download_url_to_file', lambda url, to: fetched.append(url))
    local_file('https://example.org/model.pth')
    assert len(fetched) == 1 - rank
