"""The first signal stops in order; nothing that follows from it hides it."""

import os
import signal

import pytest

from tailrace.stack.signals import Terminated, stoppable


@pytest.mark.parametrize(("number", "raised"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated)])
def test_the_first_signal_is_raised_and_later_ones_are_not(number: int, raised: type[BaseException]) -> None:
    """While it cleans up, a second Ctrl-C changes nothing."""
    cleaned = False
    with pytest.raises(raised), stoppable():
        try:
            os.kill(os.getpid(), number)
        finally:
            os.kill(os.getpid(), signal.SIGINT)
            cleaned = True
    assert cleaned


@pytest.mark.parametrize(("number", "raised"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated)])
def test_an_error_that_an_interrupt_became_is_the_interrupt(number: int, raised: type[BaseException]) -> None:
    """A library in C may swallow it and raise something else."""
    with pytest.raises(raised) as caught, stoppable():
        try:
            os.kill(os.getpid(), number)
        except KeyboardInterrupt:
            raise TypeError("expected configuration property name as type unicode string") from None
    assert isinstance(caught.value.__cause__, TypeError)


def test_other_errors_pass() -> None:
    """Without a signal an error is what it is."""
    with pytest.raises(TypeError), stoppable():
        raise TypeError
