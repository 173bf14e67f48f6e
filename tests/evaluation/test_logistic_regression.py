"""Logistic regression: scikit-learn's, with C chosen on a part of the training features."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from daga_mm.evaluation import DINOV3_CS, fit_logistic_regression
from daga_mm.evaluation.checks import split_off_validation

from .conftest import clusters

CS = (1e-4, 1e-2, 1.0)


def test_the_grid_is_dinov3s():
    assert len(DINOV3_CS) == 45
    assert DINOV3_CS[0] == pytest.approx(1e-6) and DINOV3_CS[-1] == pytest.approx(1e5)
    np.testing.assert_allclose(np.diff(np.log10(DINOV3_CS)), 11 / 44)


def test_equals_scikit_learn_step_by_step():
    train, labels, test, truth = clusters(noise=2.0)
    result = fit_logistic_regression(train, labels, test, truth, cs=CS, val_fraction=0.25, seed=3)

    fitted, held_out = split_off_validation(labels, 0.25, 3)
    x, y = train.double().numpy(), labels.numpy()
    accuracies = {}
    for c in CS:
        model = LogisticRegression(C=c, max_iter=1000, tol=1e-12).fit(x[fitted], y[fitted])
        accuracies[c] = (model.predict(x[held_out]) == y[held_out]).mean()
    best = max(accuracies, key=accuracies.get)
    assert len(set(accuracies.values())) > 1, 'the case does not tell one C from another'
    assert result['val_accuracies'] == pytest.approx(accuracies) and result['best_c'] == best
    final = LogisticRegression(C=best, max_iter=1000, tol=1e-12).fit(x, y)  # on all of train
    assert result['accuracy'] == pytest.approx((final.predict(test.double().numpy()) == truth.numpy()).mean())


def test_the_test_set_chooses_nothing():
    train, labels, test, truth = clusters(noise=2.0)
    one = fit_logistic_regression(train, labels, test, truth, cs=CS)
    other = fit_logistic_regression(train, labels, test, (truth + 1) % 4, cs=CS)
    assert (one['best_c'], one['val_accuracies']) == (other['best_c'], other['val_accuracies'])
    assert one['accuracy'] > 0.5 > other['accuracy']


def test_each_c_is_a_line_with_the_time_left(monkeypatch):
    messages = []
    monkeypatch.setattr('daga_mm.evaluation.logistic_regression.print_log', lambda text, logger: messages.append(text))
    fit_logistic_regression(*clusters(), cs=CS, max_iter=2)
    lines = [line for line in messages if line.startswith('C = ')]
    assert len(lines) == 4 and '(1 of 3)' in lines[0] and 'left' in lines[0] and 'left' not in lines[2]
    assert all('stopped after 2 iterations' in line for line in lines) and 'test accuracy' in lines[3]


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'cs': ()}, 'cs is empty'),
        ({'val_fraction': 0.0}, 'val_fraction 0.0 of 80'),
        ({'val_fraction': 1.0}, 'val_fraction 1.0 of 80'),
    ],
)
def test_refusals(options, message):
    with pytest.raises(ValueError, match=message):
        fit_logistic_regression(*clusters(), **{'cs': CS} | options)


def test_the_split_is_seeded_and_whole():
    labels = torch.arange(50) % 5
    one, other = split_off_validation(labels, 0.1, 0), split_off_validation(labels, 0.1, 1)
    assert len(one[1]) == 5 and sorted(torch.cat(one).tolist()) == list(range(50))
    assert torch.equal(one[1], split_off_validation(labels, 0.1, 0)[1]) and not torch.equal(one[1], other[1])


def test_each_class_has_its_part_in_the_validation():
    """As dinov3/eval/data.py: 10 % of each class, at least one, and none of a class with one example."""
    labels = torch.cat([torch.arange(102).repeat(10), torch.zeros(90, dtype=torch.long), torch.tensor([102])])
    fitted, held_out = split_off_validation(labels, 0.1, 0)
    counts = labels[held_out].bincount(minlength=103)
    assert counts[0] == 10 and (counts[1:102] == 1).all() and counts[102] == 0
    assert labels[fitted].unique().numel() == 103
