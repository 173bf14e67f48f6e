"""A loss that is no number any more."""

import pytest

from daga_mm.engine import FiniteLossHook
from daga_mm.errors import RunError

from ..toys import Line, toy_runner


def test_a_run_that_learns_nothing_any_more_is_stopped_and_told_where_it_began(tmp_path):
    message = (
        r'not finite for 2 steps: in iteration 3 loss_slope is nan; the batch was \d\.jpg, \d\.jpg.*lower learning rate'
    )
    with pytest.raises(RunError, match=message) as caught:
        toy_runner(tmp_path, model=Line(broken=(3, 4))).train()
    assert 'loss_of_nothing' not in str(caught.value)
    assert [path.name for path in tmp_path.glob('iter_*.pth')] == ['iter_2.pth'], 'the last good checkpoint is kept'


def test_one_accident_is_no_reason_to_stop(tmp_path):
    runner = toy_runner(tmp_path, model=Line(broken=(3,)))
    runner.optim_wrapper = runner.build_optim_wrapper(dict(optimizer=dict(type='SGD', lr=0.0), clip_grad=None))
    step = runner.optim_wrapper.update_params
    runner.optim_wrapper.update_params = lambda loss: step(loss) if loss.isfinite() else None  # as a loss scale does
    runner.train()
    assert (tmp_path / 'iter_6.pth').is_file()


def test_patience_is_a_number_of_steps():
    with pytest.raises(ValueError, match='patience'):
        FiniteLossHook(patience=0)
