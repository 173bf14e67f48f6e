"""What makes a model fit: bfloat16, recomputed activations, accumulated gradients."""

import itertools

import pytest
import torch
from mmengine.runner import Runner

from daga_mm.cli.runs import enable_amp

from ..small_runs import TRAINED

NUMBERS = itertools.count()


@pytest.fixture
def build(prepare):
    """A function that gives the runner of a task's small config, ready to train."""

    def build(task: str, change=lambda config: None) -> Runner:
        config = prepare(task)
        config.visualizer.name = config.experiment_name = f'bigger_{next(NUMBERS)}'
        config.log_level = 'ERROR'
        change(config)
        runner = Runner.from_cfg(config)
        runner.optim_wrapper = runner.build_optim_wrapper(config.optim_wrapper)
        runner.model.init_weights()
        if config.load_from:
            runner.load_or_resume()
        runner.model.train()
        return runner

    return build


def loss_and_gradients(runner: Runner, batch: dict) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Of one batch, under the optimiser wrapper's context."""
    torch.manual_seed(0)
    with runner.optim_wrapper.optim_context(runner.model):
        data = runner.model.data_preprocessor(batch, training=True)
        loss, _ = runner.model.parse_losses(runner.model(**data, mode='loss'))
    runner.optim_wrapper.backward(loss)
    grads = {name: p.grad.clone() for name, p in runner.model.named_parameters() if p.grad is not None}
    runner.optim_wrapper.zero_grad()
    return loss.detach(), grads


def batch_of(runner: Runner) -> dict:
    return next(iter(runner.build_dataloader(runner.cfg.train_dataloader, seed=0)))


def dtypes_in(model: torch.nn.Module) -> set[torch.dtype]:
    """A set that fills with the types of what the linear layers return."""
    seen: set[torch.dtype] = set()
    for module in model.modules():
        if isinstance(module, torch.nn.Linear):
            module.register_forward_hook(lambda module, inputs, output: seen.add(output.dtype))
    return seen


@pytest.mark.parametrize(
    'task', [task if task == 'depth' else pytest.param(task, marks=pytest.mark.slow) for task in TRAINED]
)
def test_bfloat16_computes_the_same_loss_to_its_precision(build, task):
    exact, half = build(task), build(task, enable_amp)
    half.model.load_state_dict(exact.model.state_dict())
    batch = batch_of(exact)
    seen = dtypes_in(half.model)
    expected, _ = loss_and_gradients(exact, batch)
    loss, grads = loss_and_gradients(half, batch)
    assert torch.bfloat16 in seen
    assert all(grad.dtype == torch.float32 and grad.isfinite().all() for grad in grads.values())
    torch.testing.assert_close(loss, expected, rtol=0.03, atol=0, check_dtype=False)
    half.train()


@pytest.mark.parametrize('task', [pytest.param('segmentation', marks=pytest.mark.slow), 'depth'])
def test_recomputed_activations_give_the_same_gradients(build, task):
    def recompute(config):
        config.model.backbone.with_cp = True
        if config.model.get('neck', {}).get('type') == 'daga_mm.ViTAdapterNeck':
            config.model.neck.with_cp = True

    plain, saving = build(task), build(task, recompute)
    assert saving.model.backbone.with_cp
    saving.model.load_state_dict(plain.model.state_dict())
    batch = batch_of(plain)
    (loss, grads), (expected_loss, expected) = loss_and_gradients(saving, batch), loss_and_gradients(plain, batch)
    torch.testing.assert_close(loss, expected_loss)
    assert any('.adapters.' in name for name in grads)
    torch.testing.assert_close(grads, expected)


def test_accumulated_gradients_are_the_mean_of_the_batches(build):
    """Two batches, one step: with plain SGD, the rate times the mean of their gradients."""

    def accumulate(config):
        config.optim_wrapper.optimizer = dict(type='SGD', lr=1.0, weight_decay=0.0)
        config.optim_wrapper.update(accumulative_counts=2, clip_grad=None)
        config.model.decode_head.loss_decode.warm_up_iters = 0  # the first batch's loss would be another

    runner = build('depth', accumulate)
    batches = list(itertools.islice(runner.build_dataloader(runner.cfg.train_dataloader, seed=0), 2))
    start = {name: p.detach().clone() for name, p in runner.model.named_parameters()}
    runner.optim_wrapper.initialize_count_status(runner.model, 0, 2)
    mean: dict[str, torch.Tensor] = {}
    for batch in batches:
        for name, grad in loss_and_gradients(runner, batch)[1].items():
            mean[name] = mean.get(name, 0) + grad / 2
    runner.optim_wrapper.initialize_count_status(runner.model, 0, 2)
    for number, batch in enumerate(batches):
        torch.manual_seed(0)
        runner.model.train_step(batch, runner.optim_wrapper)
        moved = any(not torch.equal(p, start[name]) for name, p in runner.model.named_parameters())
        assert moved == (number == 1)
    for name, parameter in runner.model.named_parameters():
        torch.testing.assert_close(parameter, start[name] - mean[name] if name in mean else start[name])
