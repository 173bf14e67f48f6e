import numpy as np
import pytest
import torch

from daga_mm.depth import DepthGradientLoss, SigLogLoss

EPS = 1e-3


@pytest.fixture
def pair():
    """Prediction and truth (2, 1, 9, 12), a third of it without a reading."""
    generator = torch.Generator().manual_seed(4)
    pred, truth = (torch.rand(2, 1, 9, 12, generator=generator) * 9 + 0.5 for _ in range(2))
    truth[torch.rand(truth.shape, generator=generator) < 0.33] = 0
    return pred.requires_grad_(), truth


def log_difference(pred, truth) -> np.ndarray:
    """log prediction − log truth, NaN where there is no reading."""
    pred, truth = pred.detach().double().numpy(), truth.double().numpy()
    return np.where(truth > 0, np.log(pred + EPS) - np.log(np.where(truth > 0, truth, 1) + EPS), np.nan)


def test_siglog_is_its_formula_with_the_unbiased_variance(pair):
    g = log_difference(*pair)
    g = g[~np.isnan(g)]
    expected = np.sqrt(np.var(g, ddof=1) + 0.15 * g.mean() ** 2)
    loss = SigLogLoss(warm_up_iters=0, loss_weight=2.0)(*pair)
    assert loss.item() == pytest.approx(2 * expected, rel=1e-5)
    loss.backward()
    assert (pair[0].grad[pair[1] > 0] != 0).all() and (pair[0].grad[pair[1] == 0] == 0).all()


def test_siglog_by_hand():
    """g = log 2 and 0: variance (log 2)² / 2, mean log 2 / 2."""
    pred, truth = torch.tensor([2.0, 3.0, 5.0]).view(1, 1, 1, 3), torch.tensor([1.0, 3.0, 0.0]).view(1, 1, 1, 3)
    expected = np.log(2) * np.sqrt(1 / 2 + 0.15 / 4)
    assert SigLogLoss(warm_up_iters=0, eps=0)(pred, truth).item() == pytest.approx(expected, rel=1e-6)


def test_siglog_warms_up_on_the_mean_alone_and_remembers_how_far(pair):
    g = log_difference(*pair)
    mean, whole = np.sqrt(0.15) * abs(np.nanmean(g)), SigLogLoss(warm_up_iters=0)(*pair).item()
    loss = SigLogLoss(warm_up_iters=2)
    assert loss(*pair).item() == pytest.approx(mean, rel=1e-4)
    resumed = SigLogLoss(warm_up_iters=2)
    resumed.load_state_dict(loss.state_dict())
    assert [round(resumed(*pair).item(), 5) for _ in range(3)] == [round(float(mean), 5), *[round(whole, 5)] * 2]


def test_without_readings_losses_are_zero_with_a_gradient(pair):
    pred, truth = pair
    one = torch.zeros_like(truth)
    one[0, 0, 0, 0] = 3.0
    for empty in (torch.zeros_like(truth), one):
        for loss in (SigLogLoss(warm_up_iters=0), DepthGradientLoss()):
            pred.grad = None
            value = loss(pred, empty)
            value.backward()
            assert value.item() == 0 and pred.grad.isfinite().all()


def test_a_perfect_prediction_costs_nothing_and_has_a_finite_gradient(pair):
    truth = pair[1].clamp(min=0.5)
    pred = truth.clone().requires_grad_()
    loss = SigLogLoss(warm_up_iters=0)(pred, truth) + DepthGradientLoss()(pred, truth)
    loss.backward()
    assert loss.item() < 1e-5 and pred.grad.isfinite().all()


def test_gradient_loss_is_its_formula(pair):
    g = log_difference(*pair)
    expected = 0.0
    for step in (1, 2, 4, 8):
        small = g[:, :, ::step, ::step]
        count = np.count_nonzero(~np.isnan(small))
        neighbours = [np.abs(np.diff(small, axis=axis)) for axis in (2, 3)]  # NaN where either has no reading
        expected += sum(np.nansum(n) for n in neighbours) / count
    loss = DepthGradientLoss(loss_weight=0.5)(*pair)
    assert loss.item() == pytest.approx(0.5 * expected, rel=1e-4)
    loss.backward()
    assert (pair[0].grad[pair[1] == 0] == 0).all() and pair[0].grad.abs().max() > 0


def test_gradient_loss_does_not_see_the_scale():
    truth = torch.rand(1, 1, 16, 16) + 1
    assert DepthGradientLoss(eps=0)(3 * truth, truth).item() < 1e-4
