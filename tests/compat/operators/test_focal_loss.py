import pytest
import torch
from mmcv.ops import SigmoidFocalLoss, sigmoid_focal_loss
from torch import Tensor
from torch.nn import functional as F

CLASSES = 4
TARGET = torch.tensor([0, 3, 1, 4, 2, 4])  # 4 is the background


def some_logits(dtype: torch.dtype = torch.float64) -> Tensor:
    return (3 * torch.randn(6, CLASSES, generator=torch.Generator().manual_seed(0), dtype=torch.float64)).to(dtype)


def reference(logits: Tensor, gamma: float, alpha: float) -> Tensor:
    """The definition: cross entropy, times alpha, times the power of how wrong the sample is."""
    own = F.one_hot(TARGET, CLASSES + 1)[:, :CLASSES].to(logits.dtype)
    wrong = (logits.sigmoid() - own).abs()
    entropy = F.binary_cross_entropy_with_logits(logits, own, reduction='none')
    return entropy * wrong**gamma * (alpha * own + (1 - alpha) * (1 - own))


@pytest.mark.parametrize('reduction', ['none', 'sum', 'mean'])
@pytest.mark.parametrize(('gamma', 'alpha'), [(2.0, 0.25), (0.0, 0.5), (1.5, 0.9)])
def test_values_and_gradients(gamma, alpha, reduction):
    logits = some_logits().requires_grad_()
    loss = SigmoidFocalLoss(gamma, alpha, reduction=reduction)(logits, TARGET)
    expected = reference(logits, gamma, alpha)
    if reduction != 'none':
        expected = expected.sum() / (len(TARGET) if reduction == 'mean' else 1)
    torch.testing.assert_close(loss, expected)
    direction = torch.randn(loss.shape, dtype=loss.dtype)
    gradients = [torch.autograd.grad(output, logits, direction)[0] for output in (loss, expected)]
    torch.testing.assert_close(*gradients)


def test_class_weights_count_per_sample():
    logits = some_logits().requires_grad_()
    weight = torch.tensor([0.5, 2, 3, 4], dtype=logits.dtype)
    per_sample = torch.tensor([0.5, 4, 2, 1, 3, 1], dtype=logits.dtype)[:, None]
    loss = sigmoid_focal_loss(logits, TARGET, 2.0, 0.25, weight, 'sum')
    expected = (reference(logits, 2.0, 0.25) * per_sample).sum()
    torch.testing.assert_close(loss, expected)
    gradients = [torch.autograd.grad(output, logits)[0] for output in (loss, expected)]
    torch.testing.assert_close(*gradients)


def test_certain_logits_have_finite_gradients():
    logits = torch.tensor([[200.0, -200.0], [-200.0, 200.0]], requires_grad=True)
    for gamma in (0.0, 0.5, 2.0):
        loss = sigmoid_focal_loss(logits, torch.tensor([0, 0]), gamma, 0.25, None, 'none')
        gradient = torch.autograd.grad(loss.sum(), logits)[0]
        torch.testing.assert_close(loss, torch.tensor([[0.0, 0.0], [50.0, 150.0]]))
        torch.testing.assert_close(gradient, torch.tensor([[0.0, 0.0], [-0.25, 0.75]]))


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision(dtype):
    logits = some_logits(dtype).requires_grad_()
    loss = sigmoid_focal_loss(logits, TARGET, 2.0, 0.25, None, 'none')
    loss.float().sum().backward()
    wide = logits.detach().float().requires_grad_()
    expected = reference(wide, 2.0, 0.25)
    expected.sum().backward()
    assert loss.dtype == logits.grad.dtype == dtype
    torch.testing.assert_close(loss, expected.to(dtype))
    torch.testing.assert_close(logits.grad, wide.grad.to(dtype))


def test_no_samples():
    logits = torch.empty(0, CLASSES, requires_grad=True)
    loss = sigmoid_focal_loss(logits, torch.empty(0, dtype=torch.int64), 2.0, 0.25, None, 'sum')
    loss.backward()
    assert loss == 0 and logits.grad.shape == (0, CLASSES)
