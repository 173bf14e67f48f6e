"""Focal loss (Lin et al., 2017) of independent sigmoids."""

from torch import Tensor
from torch.nn import functional as F

from .autodiff import gradients, widen


def _focal_loss(logits: Tensor, target: Tensor, weight: Tensor, gamma: float, alpha: float) -> Tensor:
    wide = widen(logits)
    classes = wide.shape[1]
    is_class = F.one_hot(target, classes + 1)[:, :classes].bool()  # (N, C); the background, C, has no column
    log_p, log_not_p = F.logsigmoid(wide), F.logsigmoid(-wide)
    # Powers as exp(γ log p): p ** γ has no usable gradient once p has become zero.
    as_class = -alpha * (gamma * log_not_p).exp() * log_p
    as_other = -(1 - alpha) * (gamma * log_p).exp() * log_not_p
    loss = as_class.where(is_class, as_other)
    if weight.numel():
        # One weight per sample, that of its class. The background has none: the extension reads past the end.
        loss = loss * F.pad(weight.to(loss.dtype), (0, 1), value=1.0)[target, None]
    return loss.to(logits.dtype)


def sigmoid_focal_loss_forward(
    input: Tensor, target: Tensor, weight: Tensor, output: Tensor, gamma: float, alpha: float
) -> None:
    """Compute the loss of each sample and class.

    Args:
        input: (N, C) logits.
        target: (N,) int64 classes, C for the background.
        weight: (C,) weight of the samples of a class, or empty.
        output: (N, C), written to.
        gamma: how far easy samples are discounted.
        alpha: weight of a sample's own class, 1 - alpha that of the others.
    """
    output.copy_(_focal_loss(input, target, weight, gamma, alpha))


def sigmoid_focal_loss_backward(
    input: Tensor, target: Tensor, weight: Tensor, grad_input: Tensor, gamma: float, alpha: float
) -> None:
    """Write the derivative of each element of the loss by its logit into ``grad_input`` (N, C)."""

    def loss(logits: Tensor) -> Tensor:
        return _focal_loss(logits, target, weight, gamma, alpha)

    # The caller multiplies by the gradient of the output: an element's loss depends on its own logit only.
    grad_input.copy_(gradients(loss, [input], input.new_ones(input.shape))[0])
