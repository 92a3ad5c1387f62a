"""The first signal stops in order; nothing that follows from it hides it."""

import os
import signal

import pytest

from tailrace.stack.signals import Terminated, stoppable


def stopped_twice(number: int, cleaned: list[bool]) -> None:
    """A second Ctrl-C comes during the clean-up."""
    try:
        os.kill(os.getpid(), number)
    finally:
        os.kill(os.getpid(), signal.SIGINT)
        cleaned.append(True)


def swallowed(number: int) -> None:
    """What confluent_kafka does while it reads its configuration."""
    try:
        os.kill(os.getpid(), number)
    except KeyboardInterrupt:
        raise TypeError("expected configuration property name as type unicode string") from None


@pytest.mark.parametrize(("number", "raised"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated)])
def test_the_first_signal_is_raised_and_later_ones_are_not(number: int, raised: type[BaseException]) -> None:
    """While it cleans up, a second Ctrl-C changes nothing."""
    cleaned: list[bool] = []
    with pytest.raises(raised), stoppable():
        stopped_twice(number, cleaned)
    assert cleaned == [True]


@pytest.mark.parametrize(("number", "raised"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated)])
def test_an_error_that_an_interrupt_became_is_the_interrupt(number: int, raised: type[BaseException]) -> None:
    """A library in C may swallow it and raise something else."""
    with pytest.raises(raised) as caught, stoppable():
        swallowed(number)
    assert isinstance(caught.value.__cause__, TypeError)


def test_other_errors_pass() -> None:
    """Without a signal an error is what it is."""
    with pytest.raises(TypeError), stoppable():
        raise TypeError
