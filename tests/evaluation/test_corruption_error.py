"""Mean corruption error."""

import pytest

from daga_mm.evaluation import ALEXNET_ERRORS, CORRUPTIONS, corruption_errors, mean_corruption_error


def of(rate):
    return {name: [rate(name)] * 5 for name in CORRUPTIONS}


def test_alexnet_is_exactly_100():
    assert mean_corruption_error(of(lambda name: ALEXNET_ERRORS[name] / 100)) == 100.0
    uneven = {name: [x * mean / 100 for x in (0.94, 0.97, 1, 1.02, 1.07)] for name, mean in ALEXNET_ERRORS.items()}
    assert mean_corruption_error(uneven) == 100.0


def test_each_corruption_is_weighed_by_its_own_difficulty():
    half = of(lambda name: ALEXNET_ERRORS[name] / 200)
    assert mean_corruption_error(half) == 50.0
    worse = half | {'fog': [ALEXNET_ERRORS['fog'] / 100] * 5}
    assert corruption_errors(worse)['fog'] == 100.0
    assert mean_corruption_error(worse) == pytest.approx(50 + 50 / 15)
    assert mean_corruption_error(of(lambda name: 0.0)) == 0.0


def test_the_mean_of_the_errors_is_the_published_one():
    assert sum(ALEXNET_ERRORS.values()) / 15 == pytest.approx(78.90, abs=0.005)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda e: e.pop('snow'), 'missing corruptions: snow'),
        (lambda e: e.update(speckle_noise=[0.1] * 5), 'unknown corruptions: speckle_noise'),
        (lambda e: e.update(fog=[0.1] * 4), 'fog has 4 errors'),
        (lambda e: e.update(fog=[0.1, 0.2, 0.3, 0.4, 55.0]), 'fog: an error is a rate in 0..1, not 55.0'),
        (lambda e: e.update(fog=[0.1, 0.2, 0.3, 0.4, float('nan')]), 'fog: an error is a rate in 0..1, not nan'),
    ],
)
def test_what_is_no_table_of_errors_is_refused(change, message):
    errors = of(lambda name: 0.5)
    change(errors)
    with pytest.raises(ValueError, match=message):
        mean_corruption_error(errors)


def test_another_baseline():
    assert mean_corruption_error({'fog': [0.1] * 5}, baseline={'fog': 40.0}) == pytest.approx(25.0)
