"""Linear probes: thirteen at once are what each is alone."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from daga_mm.evaluation import DINOV3_LRS, LinearProbes, fit_linear_probe
from daga_mm.evaluation.checks import split_off_validation

from .conftest import clusters


def test_the_rates_are_dinov3s():
    assert len(DINOV3_LRS) == 13 and DINOV3_LRS[0] == 1e-5 and DINOV3_LRS[-1] == 0.1


def test_all_at_once_equal_each_alone():
    """SGD with momentum and a falling rate on every probe by itself, a plain nn.Linear, ends at the same weights."""
    torch.manual_seed(0)
    features, labels, *_ = clusters()
    probes = LinearProbes(features.shape[1], 4)
    alone = []
    for i in range(13):
        linear = nn.Linear(features.shape[1], 4)
        with torch.no_grad():
            linear.weight.copy_(probes.weight[i].T)
            linear.bias.zero_()
        alone.append(linear)
    scale, steps = 0.5, 12
    optimisers = [torch.optim.SGD(probes.parameters(), lr=scale, momentum=0.9)]
    optimisers += [
        torch.optim.SGD(linear.parameters(), lr=lr * scale, momentum=0.9)
        for linear, lr in zip(alone, DINOV3_LRS, strict=True)
    ]
    schedules = [torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps) for optimiser in optimisers]
    start = probes.weight.detach().clone()
    for step in range(steps):
        x, y = features[step::steps], labels[step::steps]
        losses = [probes.loss(probes(x), y)[0], *(F.cross_entropy(linear(x), y) for linear in alone)]
        for optimiser, schedule, loss in zip(optimisers, schedules, losses, strict=True):
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    moved = (probes.weight - start).flatten(1).norm(dim=1)
    assert (moved[1:] > 1.5 * moved[:-1]).all(), 'each rate has its own effect'
    for i, linear in enumerate(alone):
        torch.testing.assert_close(probes.weight[i] - start[i], linear.weight.T - start[i], rtol=1e-4, atol=1e-7)
        torch.testing.assert_close(probes.bias[i, 0], linear.bias, rtol=1e-4, atol=1e-7)


def test_logits_and_start():
    probes = LinearProbes(64, 7, generator=torch.Generator().manual_seed(0))
    features = torch.randn(5, 64, generator=torch.Generator().manual_seed(1))
    logits = probes(features)
    assert logits.shape == (13, 5, 7)
    torch.testing.assert_close(logits[3], features @ probes.weight[3] + probes.bias[3])
    assert probes.weight.std().item() == pytest.approx(0.01, rel=0.05) and not probes.bias.any()
    entropies = probes.loss(logits, torch.arange(5))[1]
    torch.testing.assert_close(entropies[3], F.cross_entropy(logits[3], torch.arange(5)))


def fit(*data, **options):
    return fit_linear_probe(*data, num_classes=4, **dict(max_iters=60, batch_size=32) | options)


def test_it_learns_and_the_seed_makes_it_the_same():
    data = clusters(noise=0.2)
    result = fit(*data)
    assert result['accuracy'] > 0.9 and set(result['val_accuracies']) == set(DINOV3_LRS)
    assert result['accuracy'] == result['test_accuracies'][result['best_lr']]
    assert fit(*data) == result
    noisy = clusters(noise=3.0)
    assert fit(*noisy, seed=1)['val_accuracies'] != fit(*noisy)['val_accuracies']


def test_the_test_set_chooses_nothing():
    train, labels, test, truth = clusters(noise=3.0)
    one, other = fit(train, labels, test, truth), fit(train, labels, test, (truth + 1) % 4)
    assert (one['best_lr'], one['val_accuracies']) == (other['best_lr'], other['val_accuracies'])
    val = one['val_accuracies']
    assert one['best_lr'] == max(val, key=val.get)
    assert one['accuracy'] != other['accuracy']


def test_held_out_features_are_not_trained_on():
    """Features of pure noise with labels at random: what is trained on can be learned by heart, the rest not."""
    generator = torch.Generator().manual_seed(0)
    train, labels = torch.randn(40, 200, generator=generator), torch.randint(4, (40,), generator=generator)
    result = fit(train, labels, train, labels, lrs=(1.0,), val_fraction=0.5, max_iters=200, batch_size=20)
    assert result['val_accuracies'][1.0] < 0.6
    fitted, held_out = split_off_validation(labels, 0.5, 0)
    right = len(fitted) + len(held_out) * result['val_accuracies'][1.0]
    assert result['accuracy'] == pytest.approx(right / 40)


def test_refusals():
    train, labels, test, truth = clusters()
    with pytest.raises(ValueError, match='test_labels .*num_classes is 4'):
        fit(train, labels, test, truth + 1)
    with pytest.raises(ValueError, match='learning rates larger than 0'):
        LinearProbes(8, 4, lrs=())
