import pickle
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.logging import HistoryBuffer
from mmengine.runner import CheckpointLoader
from safetensors.torch import save_file

from daga_mm.compat import allow_mmengine_checkpoints, load_checkpoint_file, local_file

RESUME = """
import pickle, sys
import torch
from mmengine.runner import Runner
from mmengine.model import BaseModel

class Model(BaseModel):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(2, 1)

    def forward(self, inputs, mode):
        return dict(loss=self.linear(inputs).square().mean())

def runner(epochs):
    return Runner(
        Model(),
        sys.argv[1],
        train_dataloader=dict(
            dataset=torch.utils.data.TensorDataset(torch.ones(4, 2)),
            batch_size=2,
            sampler=dict(type='DefaultSampler', shuffle=True),
            collate_fn=dict(type='default_collate'),
        ),
        train_cfg=dict(by_epoch=True, max_epochs=epochs),
        optim_wrapper=dict(optimizer=dict(type='Adam', lr=0.1)),
        param_scheduler=dict(type='LinearLR', end=4),
        resume=epochs > 1,
        log_level='ERROR',
        experiment_name=f'until_{epochs}',
    )

runner(1).train()
try:
    torch.load(sys.argv[1] + '/epoch_1.pth')
    sys.exit('torch reads the checkpoints of mmengine by itself: this repair has become superfluous')
except pickle.UnpicklingError:
    import daga_mm.compat
resumed = runner(2)
resumed.train()
assert (resumed.epoch, resumed.iter) == (2, 4)
assert len(resumed.message_hub.get_scalar('train/loss').data[0]) == 4
assert torch.load(sys.argv[1] + '/epoch_2.pth')['optimizer']['state'][0]['step'] == 4
"""


def test_a_runner_resumes_from_its_own_checkpoint(tmp_path):
    (tmp_path / 'resume.py').write_text(RESUME)
    command = [sys.executable, '-W', 'ignore', tmp_path / 'resume.py', tmp_path / 'work']
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


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
    with pytest.raises(ValueError, match=rf'model\.pth was not loaded: it asks for {asked_for},') as caught:
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
    with pytest.raises(ValueError, match=r'model\.pkl was not loaded: it (asks for exec|is damaged)') as caught:
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


# -- wherever mmengine loads --------------------------------------------------------------------------------------


def test_mmengine_loads_safetensors_with_what_they_say_of_themselves(tmp_path):
    path = str(tmp_path / 'model.safetensors')
    save_file({'weight': torch.ones(2)}, path, {'format': 'pt', 'meta': '{"dataset_meta": {"classes": ["cat"]}}'})
    loaded = CheckpointLoader.load_checkpoint(path, map_location='cpu')
    assert loaded['state_dict']['weight'].tolist() == [1, 1]
    assert loaded['meta'] == {'dataset_meta': {'classes': ['cat']}}


@pytest.mark.parametrize('name', ['model.pth', 'http://example.org/model.pth', 'torchvision://resnet18'])
def test_mmengine_refuses_code_even_where_torch_is_told_to_trust(name, tmp_path, monkeypatch):
    """torch.hub, which loads URLs for mmengine, trusts every file; the variable makes torch.load do so too."""
    monkeypatch.setenv('TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD', '1')
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    monkeypatch.chdir(tmp_path)
    path = tmp_path / 'model.pth'
    torch.save({'state_dict': {}, 'extra': Call(exec, CODE)}, path)
    monkeypatch.setattr(torch.hub, 'download_url_to_file', lambda url, to: shutil.copy(path, to))
    with pytest.raises(ValueError, match='it asks for exec, which'):
        CheckpointLoader.load_checkpoint(name)


def test_a_url_is_fetched_once(tmp_path, monkeypatch):
    fetched = []

    def fetch(url, path):
        fetched.append(url)
        torch.save({'weight': torch.ones(1)}, path)

    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    monkeypatch.setattr(torch.hub, 'download_url_to_file', fetch)
    urls = ['https://example.org/a/model.pth?download=1', 'https://example.org/b/model.pth']  # not the same file
    for url in (*urls, *urls):
        assert CheckpointLoader.load_checkpoint(url)['weight'] == 1
    assert fetched == urls


def test_a_url_that_can_not_be_fetched_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    with pytest.raises(OSError, match=r'http://127\.0\.0\.1:9/model\.pth could not be fetched: .*refused'):
        CheckpointLoader.load_checkpoint('http://127.0.0.1:9/model.pth')


@pytest.mark.parametrize('rank', [0, 1])
def test_one_process_of_a_machine_fetches(rank, tmp_path, monkeypatch):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    monkeypatch.setenv('LOCAL_RANK', str(rank))
    fetched = []
    monkeypatch.setattr(torch.hub, 'download_url_to_file', lambda url, to: fetched.append(url))
    local_file('https://example.org/model.pth')
    assert len(fetched) == 1 - rank


def test_a_config_in_a_checkpoint_is_not_handed_on(tmp_path):
    """mmengine's Runner.resume executes meta['config'], and weights_only does not look into text."""
    path = tmp_path / 'model.pth'
    torch.save({'state_dict': {}, 'meta': {'config': CODE, 'cfg': 'a = 1', 'epoch': 1}}, path)
    assert CheckpointLoader.load_checkpoint(str(path))['meta'] == {'cfg': 'a = 1', 'epoch': 1}
