import shutil
import subprocess
import sys

import pytest
import torch
from mmengine.runner import CheckpointLoader
from safetensors.torch import save_file

import daga_mm.compat  # noqa: F401

from ..test_io import CODE, Call

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
    with pytest.raises(OSError, match=r'http://127\.0\.0\.1:9/model\.pth .*refused'):
        CheckpointLoader.load_checkpoint('http://127.0.0.1:9/model.pth')


def test_a_config_in_a_checkpoint_is_not_handed_on(tmp_path):
    """mmengine's Runner.resume executes meta['config'], and weights_only does not look into text."""
    path = tmp_path / 'model.pth'
    torch.save({'state_dict': {}, 'meta': {'config': CODE, 'cfg': 'a = 1', 'epoch': 1}}, path)
    assert CheckpointLoader.load_checkpoint(str(path))['meta'] == {'cfg': 'a = 1', 'epoch': 1}
