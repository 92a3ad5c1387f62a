"""Processes that fit: what fails in one is raised, one that is ended from outside is said, and none is left."""

import math
import operator
import os
from contextlib import closing
from multiprocessing import active_children

import pytest

from services.retrainer.crew import spread
from shared.core.errors import TailraceError


def test_what_fails_in_a_process_is_raised() -> None:
    """The error itself, and no process goes on."""
    with pytest.raises(ZeroDivisionError):
        list(spread(1.0, [2, 0, 4], operator.truediv, 2))
    assert active_children() == []


def test_a_process_that_is_ended_from_outside_is_said() -> None:
    """As the kernel does where memory is short: a sentence, not an eternal wait."""
    with pytest.raises(TailraceError, match="ended from outside"):
        list(spread(os._exit, [3, 3, 3], operator.call, 2))
    assert active_children() == []


@pytest.mark.parametrize("jobs", [1, 2, 9])
def test_every_task_has_its_answer(jobs: int) -> None:
    """Also with more processes than tasks."""
    assert dict(spread(math.sqrt, [4, 9, 16], operator.call, jobs)) == {4: 2.0, 9: 3.0, 16: 4.0}
    assert active_children() == []


def test_who_stops_listening_ends_them() -> None:
    """After the first answer nobody wants the others."""
    with closing(spread(math.sqrt, list(range(1_000)), operator.call, 2)) as made:
        next(made)
    assert active_children() == []
