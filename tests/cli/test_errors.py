"""Every error is one line, whose traceback is in a file."""

import logging
import re
import tempfile
from pathlib import Path

import numpy as np
import pytest
from mmengine.logging import MMLogger
from mmengine.registry import Registry

from daga_mm.cli.errors import one_line_errors
from daga_mm.errors import RunError, as_run_error, in_one_line, message_of

HEADS = Registry('head', scope='mmengine')


class Base:
    def __init__(self, num_classes: int = 1) -> None:
        self.scores = np.zeros((num_classes, 3)) + np.zeros(num_classes)


@HEADS.register_module()
class SomeHead(Base):
    def __init__(self, topk: int = 1, **kwargs) -> None:
        super().__init__(**kwargs)


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """A folder for temporary files, and no log of an earlier run in this process."""
    monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path))
    monkeypatch.setattr(MMLogger, '_instance_dict', {})
    return tmp_path


def line_of(error: Exception | None = None, **head) -> str:
    """How a tool ends that raises the error, or builds a head."""
    with pytest.raises(SystemExit) as ended, one_line_errors(whole=False):
        if error:
            raise error
        HEADS.build(dict(type='SomeHead') | head)
    return ended.value.code


def test_an_error_of_a_users_module_says_what_and_where(place):
    line = line_of(num_classes=2)
    found = re.fullmatch(r'ValueError: operands could not be broadcast .* \[traceback: (.*/daga_mm_\w+\.log)\]', line)
    written = Path(found[1])
    assert written.parent == place and 'in __init__\n    self.scores = np.zeros' in written.read_text()


def test_the_traceback_is_in_the_log_of_the_run(place):
    logger = MMLogger.get_instance('run', log_file=str(place / 'run.log'))
    logger.info('it begins')
    assert line_of(num_classes=2).endswith(f'[traceback: {place / "run.log"}]')
    assert line_of(RunError('no more room')) == f'no more room [traceback: {place / "run.log"}]'
    text = (place / 'run.log').read_text()
    assert 'it begins' in text and 'self.scores = np.zeros' in text and 'RunError: no more room' in text
    (place / 'run.log').unlink()  # as a dry run does
    assert line_of(RunError('no more room')) == 'no more room'


def test_a_message_for_the_user_needs_no_file_before_there_is_a_log(place):
    with pytest.raises(SystemExit, match='^no config x$'), one_line_errors(False), as_run_error(OSError):
        raise FileNotFoundError('no config x')
    assert not list(place.iterdir())


def test_the_whole_traceback_is_raised_if_it_is_asked_for(place):
    with pytest.raises(ValueError, match='broadcast'), one_line_errors(whole=True):
        HEADS.build(dict(type='SomeHead', num_classes=2))
    assert not list(place.iterdir())


def test_a_log_on_a_full_disk_is_not_named(monkeypatch):
    logger = MMLogger.get_instance('run')
    handler = logging.FileHandler('/dev/full', 'a')
    logger.handlers.append(handler)
    assert line_of(OSError(28, 'No space left on device')) == 'OSError: [Errno 28] No space left on device'


@pytest.mark.parametrize(
    ('head', 'nearest'),
    [
        (dict(top_k=1), 'topk'),
        (dict(num_clases=1), 'num_classes'),  # of the class that SomeHead inherits from
        (dict(type='SomeHaed'), 'SomeHead'),
        (dict(elephant=1), None),
        (dict(type='Elephant'), None),
        (dict(topk=1, num_classes='3'), None),  # a TypeError that no name causes
    ],
    ids=str,
)
def test_the_nearest_name_is_suggested(head, nearest):
    line = line_of(**head)
    assert (f': do you mean {nearest}? [traceback' in line) if nearest else ('do you mean' not in line)


def test_an_error_of_a_worker_is_the_one_that_it_met():
    from torch.utils.data import DataLoader

    for kind, expected in ((RunError, 'a.png: cannot be read'), (ValueError, 'ValueError: a.png: cannot be read')):
        with pytest.raises(kind) as caught:
            next(iter(DataLoader(Broken(kind), num_workers=1)))
        assert message_of(caught.value) == 'a.png: cannot be read' and in_one_line(caught.value) == expected


class Broken:
    def __init__(self, kind: type[Exception]) -> None:
        self.kind = kind

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> None:
        raise self.kind('a.png: cannot be read')
