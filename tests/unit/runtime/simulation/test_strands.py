"""Threads that take turns."""

import pytest

from shared.testing.schedules.strands import Strands


def test_an_error_is_raised_where_the_strand_was_resumed() -> None:
    """What a job raises is not lost in its thread, and the strand can be used again."""
    said: list[str] = []

    def fail() -> None:
        raise ValueError("no")

    with Strands() as strands:
        strand = strands.take(fail)
        with pytest.raises(ValueError, match="no"):
            strand.resume()
        strands.give_back(strand)
        again = strands.take(lambda: said.append("yes"))
        again.resume()
        strands.give_back(again)

    assert (again is strand, said) == (True, ["yes"])


def test_strands_run_only_when_they_are_resumed_and_up_to_where_they_park() -> None:
    """Two jobs interleave exactly as they are told to."""
    said: list[str] = []

    with Strands() as strands:

        def job(name: str) -> None:
            said.append(f"{name} begins")
            running[name].park()
            said.append(f"{name} ends")

        running = {name: strands.take(lambda name=name: job(name)) for name in "ab"}  # type: ignore[misc] # a default binds
        for name in "abba":
            running[name].resume()
        busy = [strand.busy for strand in running.values()]
        for strand in running.values():
            strands.give_back(strand)

    assert (["a begins", "b begins", "b ends", "a ends"], [False, False]) == (said, busy)
