"""The first signal stops in order; nothing that follows from it hides it."""

import os
import signal
import sys
import time

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


class Finalized:
    """Something whose end is disturbed by a signal."""

    def __init__(self, number: int) -> None:
        self._number = number

    def __del__(self) -> None:
        """What is raised in here goes nowhere."""
        os.kill(os.getpid(), self._number)


def lost(number: int) -> None:
    """The signal comes while garbage is collected; whoever waits for it waits on."""
    Finalized(number)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        time.sleep(0.01)


@pytest.mark.parametrize(("number", "raised"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated)])
def test_an_interrupt_that_python_ignores_comes_again(number: int, raised: type[BaseException]) -> None:
    """It reaches whoever waits a moment later; the hook of before is back afterwards."""
    hook = sys.unraisablehook
    with pytest.raises(raised), stoppable():
        lost(number)
    assert sys.unraisablehook is hook


def test_other_lost_errors_are_told(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """What else a finalizer raises is printed as always, and interrupts nobody."""

    class Broken:
        def __del__(self) -> None:
            raise ValueError("in a finalizer")

    monkeypatch.setattr(sys, "unraisablehook", sys.__unraisablehook__)
    with stoppable():
        Broken()
    assert "in a finalizer" in capsys.readouterr().err


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
