"""On a GPU: what the CPU computes, in training too, and every task's run as a user starts it. Skipped without one."""

from pathlib import Path

import pytest
import torch

from daga_mm.necks import ViTAdapterNeck

from ..commands import free_port, metrics_of, run
from ..conftest import daga
from ..small_runs import TRAINED

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason='there is no GPU')
GUIDANCE = ['inline', dict(layer=-1), dict(layer=-1, scale=0.5)]


@pytest.fixture(autouse=True)
def float32(monkeypatch):
    """Convolutions in float32, where cuDNN would take tf32."""
    monkeypatch.setattr(torch.backends.cudnn, 'allow_tf32', False)


class Both(torch.nn.Module):
    """A backbone with its neck."""

    def __init__(self, backbone) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.backbone = backbone
        self.neck = ViTAdapterNeck(48, conv_inplane=8, num_heads=3, norm_cfg=dict(type='GN', num_groups=8))
        for name, parameter in self.neck.named_parameters():
            if name.endswith('sampling_offsets.bias'):
                # At first points lie where a bilinear read has a kink: a rounding error decides on the gradient there.
                torch.nn.init.uniform_(parameter, -2.4, 2.4)

    def forward(self, images):
        return self.neck((images, *self.backbone(images)))


def loss_and_gradients(model, images):
    """Of all that is trained, on the CPU."""
    model.train()
    model.zero_grad()
    loss = sum((output * output.detach().roll(1, -1)).mean() for output in model(images))
    loss.backward()
    trained = {name: p.grad.cpu() for name, p in model.named_parameters() if p.requires_grad}
    return loss.item(), trained


def error(found, expected) -> float:
    """Of a tensor as a whole, beside its size."""
    return ((found - expected).norm() / (expected.norm() + 1e-8)).item()


@pytest.mark.parametrize('guidance', GUIDANCE, ids=str)
@pytest.mark.parametrize('with_cp', [False, True])
def test_maps_and_gradients_are_those_of_the_cpu(tiny, images, guidance, with_cp):
    model = Both(tiny(adapter=daga(guidance=guidance), with_cp=with_cp))
    with torch.no_grad():
        expected = model.eval()(images)
    loss, gradients = loss_and_gradients(model, images)
    model.cuda()
    with torch.no_grad():
        maps = model.eval()(images.cuda())
    errors = {
        f'map {place}': error(ours.cpu(), theirs)
        for place, (ours, theirs) in enumerate(zip(maps, expected, strict=True))
    }
    loss_here, gradients_here = loss_and_gradients(model, images.cuda())
    errors |= {name: error(gradients_here[name], gradient) / 10 for name, gradient in gradients.items()}
    assert {name: value for name, value in errors.items() if not value < 1e-4} == {}
    assert loss_here == pytest.approx(loss, rel=1e-4)
    assert gradients_here.keys() == gradients.keys()


@pytest.mark.parametrize('guidance', GUIDANCE, ids=str)
def test_guidance_keeps_no_matrix(tiny, guidance):
    """12,293 tokens: one head's attention of all to all would be 577 MiB."""
    model = tiny(adapter=daga(guidance=guidance)).cuda().eval()
    images = torch.randn(1, 3, 1536, 2048, device='cuda')
    with torch.no_grad():
        row = model.guidance_map(images)
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        row = model.guidance_map(images)
    assert row.shape == (1, 96, 128)
    assert (torch.cuda.max_memory_allocated() - before) / 2**20 < 577 / 4


def test_bfloat16_is_near_and_finite(tiny, images):
    model = Both(tiny()).cuda().eval()
    with torch.no_grad():
        exact = model(images.cuda())
        with torch.autocast('cuda', torch.bfloat16):
            rounded = model(images.cuda())
    for ours, theirs in zip(rounded, exact, strict=True):
        assert ours.isfinite().all()
        assert error(ours.float(), theirs) < 5e-2


def test_compiled_is_the_same(tiny, images):
    model = tiny().cuda()
    compiled = torch.compile(model, dynamic=True)
    for size in ((64, 96), (96, 64)):
        there = torch.randn(2, 3, *size, device='cuda')
        with torch.no_grad():
            for ours, theirs in zip(compiled(there), model(there), strict=True):
                torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize('task', TRAINED)
def test_a_task_trains_in_mixed_precision_with_nccl_and_is_tested(task, prepare):
    config = prepare(task)
    file = f'{config.work_dir}.py'
    config.dump(file)
    run('tools/dist_train.sh', file, 1, '--amp', '--work-dir', config.work_dir, PORT=free_port())
    checkpoint = Path(f'{config.work_dir}/last_checkpoint').read_text().strip()
    run('python', 'tools/test.py', file, checkpoint, '--work-dir', f'{config.work_dir}_test')
    assert metrics_of(f'{config.work_dir}_test')


@pytest.mark.parametrize('task', ['knn', 'logreg'])
def test_a_probe_measures(task, prepare):
    config = prepare(task)
    file = f'{config.work_dir}.py'
    config.dump(file)
    run('python', 'tools/test.py', file, config.load_from, '--work-dir', config.work_dir)
    assert metrics_of(config.work_dir)
