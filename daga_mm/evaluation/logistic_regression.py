"""Logistic regression on features; the protocol of DINOv3 (dinov3/eval/log_regression.py)."""

import importlib
import time
import warnings
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np
from mmengine.logging import print_log
from torch import Tensor

from .checks import require_features, split_off_validation

DINOV3_CS = tuple(float(c) for c in 10 ** np.linspace(-6, 5, 45))


def fit_logistic_regression(
    train_feats: Tensor,
    train_labels: Tensor,
    test_feats: Tensor,
    test_labels: Tensor,
    cs: Sequence[float] = DINOV3_CS,
    val_fraction: float = 0.1,
    seed: int = 0,
    max_iter: int = 1000,
    tol: float = 1e-12,
) -> dict[str, Any]:
    """Choose the strength of the L2 penalty on a part of the training features, then fit on all of them.

    scikit-learn's LogisticRegression (lbfgs, float64), or the faster one of scikit-learn-intelex where it is installed.
    DINOv3's 45 fits take about half an hour on CIFAR-10, on two CPU cores, and days on ImageNet. A shorter ``cs`` is
    allowed, and is then another protocol.

    Args:
        train_feats: (N, D).
        train_labels: (N,) integers.
        test_feats: (M, D).
        test_labels: (M,) integers.
        cs: Inverse strengths of the penalty to try; of equally good ones the first is taken.
        val_fraction: Share of each class's training features on which they are compared.
        seed: Of that split.
        max_iter: Iterations of a fit at most.
        tol: Size of the gradient at which it ends.

    Returns:
        ``best_c``; ``accuracy`` on the test features, in 0..1; ``val_accuracies``, one for each C.

    Raises:
        ValueError: No C, or features and labels that don't go together.
    """
    if not cs:
        raise ValueError('cs is empty: name at least one inverse strength of the penalty')
    require_features(train_feats, test_feats, train_labels, test_labels)
    x, y = train_feats.double().cpu().numpy(), train_labels.cpu().numpy()
    fitted, held_out = (part.numpy() for part in split_off_validation(train_labels, val_fraction, seed))
    build = _estimator()
    accuracies: dict[float, float] = {}
    start = time.monotonic()
    for number, c in enumerate(cs, 1):
        model, note = _fit(build, c, x[fitted], y[fitted], max_iter, tol)
        accuracies[c] = float(model.score(x[held_out], y[held_out]))
        passed = time.monotonic() - start
        # Fits with a weaker penalty, which come later, take longer.
        left = f', {passed / number * (len(cs) - number):.0f} s or more left' if number < len(cs) else ''
        print_log(
            f'C = {c:.3g} ({number} of {len(cs)}): validation accuracy {accuracies[c]:.2%}, {passed:.0f} s{left}{note}',
            'current',
        )
    best = max(accuracies, key=accuracies.__getitem__)
    model, note = _fit(build, best, x, y, max_iter, tol)
    accuracy = float(model.score(test_feats.double().cpu().numpy(), test_labels.cpu().numpy()))
    print_log(f'C = {best:.3g}, fitted on all {len(x):,} features: test accuracy {accuracy:.2%}{note}', 'current')
    return {'best_c': best, 'accuracy': accuracy, 'val_accuracies': accuracies}


def _estimator() -> Any:
    package = 'sklearnex' if find_spec('sklearnex') else 'sklearn'
    print_log(f'logistic regression by {package}', 'current')
    return importlib.import_module(f'{package}.linear_model').LogisticRegression


def _fit(build: Any, c: float, x: np.ndarray, y: np.ndarray, max_iter: int, tol: float) -> tuple[Any, str]:
    """The fitted model, and a convergence note."""
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        # At this tolerance many fits of the protocol end by max_iter: a line's end, not a warning of ten lines each.
        warnings.simplefilter('ignore', ConvergenceWarning)
        model = build(C=c, max_iter=max_iter, tol=tol).fit(x, y)
    stopped = int(np.max(model.n_iter_)) >= max_iter
    return model, f', stopped after {max_iter} iterations' * stopped
