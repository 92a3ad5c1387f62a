"""A worker that cannot score what is in force leaves the group, says why, and comes back when it can."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from services.scorer.shifts import LONGEST, REST, Shifts
from shared.core.errors import CannotScore, UserError
from shared.testing.clock import ManualClock


@dataclass
class Abilities:
    """What is lacking, by epoch; 0 is the newest."""

    lacks: dict[int, dict[str, str]] = field(default_factory=dict)
    given_up: dict[str, str] = field(default_factory=dict)

    def lacking(self, epoch: int = 0) -> dict[str, str]:
        """See `Shifts`."""
        return self.lacks.get(epoch, {})


class Group:
    """Loops that end as they are told, one after another; the last one stops it all."""

    def __init__(self, abilities: Abilities, *ends: Callable[[], None]) -> None:
        self.clock, self.joined, self.stopped, self.turns = ManualClock(), [0.0], 0, 0
        self._ends = list(ends)
        self.during: Callable[[], None] = lambda: None
        self.shifts = Shifts(self._begin, abilities, lambda: None, self._turn, self.clock, self._pause)

    def _begin(self) -> "Group":
        self.joined.append(self.clock.monotonic())
        return self

    def run(self) -> None:
        """One shift."""
        end = self._ends.pop(0) if self._ends else self.shifts.stop
        end()

    def stop(self) -> None:
        """It is told to end."""
        self.stopped += 1

    def _turn(self) -> None:
        self.turns += 1

    def _pause(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.during()


def cannot(epoch: int) -> Callable[[], None]:
    """A loop that meets an epoch it cannot score."""

    def end() -> None:
        raise CannotScore(epoch, "refused")

    return end


def test_it_joins_only_once_it_can_score_what_is_in_force() -> None:
    """Until then it is alive, out of the group, and nothing is given up: it has never had anything."""
    abilities = Abilities({0: {"2": "is being loaded"}})
    group = Group(abilities)
    begun = group.clock.monotonic()

    def then() -> None:
        assert (group.joined, abilities.given_up) == ([0.0], {})
        if group.clock.monotonic() > begun + 5:
            abilities.lacks = {}

    group.during = then
    group.shifts.run()
    assert len(group.joined) == 2
    assert group.joined[1] > begun + 5
    assert group.turns > 10


def test_it_leaves_says_why_and_comes_back_when_it_can() -> None:
    """A refused model of the epoch in force: no restart, no partition kept, and the reason stands in heartbeats."""
    abilities = Abilities({0: {}, 3: {"3": "digest: it differs"}})
    group = Group(abilities, cannot(3))
    seen: list[dict[str, str]] = []

    def then() -> None:
        seen.append(dict(abilities.given_up))
        if len(seen) == 20:
            abilities.lacks = {}

    group.during = then
    group.shifts.run()
    assert seen == [{"3": "digest: it differs"}] * 20
    assert (len(group.joined) - 1, abilities.given_up) == (2, {})


def test_it_tries_again_where_only_an_older_epoch_is_lacking() -> None:
    """Others may have gone past it by now; each time it was in vain the rest is twice as long, up to ten minutes."""
    abilities = Abilities({2: {"2": "gone"}})
    group = Group(abilities, *[cannot(2)] * 7)
    group.shifts.run()
    rests = [b - a for a, b in zip(group.joined[1:], group.joined[2:], strict=False)]
    assert rests == pytest.approx([REST, 2 * REST, 4 * REST, 8 * REST, 16 * REST, LONGEST, LONGEST], abs=0.5)


def test_being_told_to_stop_ends_it_wherever_it_is() -> None:
    """Out of the group, while a loop is made, and in one; a loop that is made then is told as well."""
    waiting = Group(Abilities({0: {"1": "x"}}))
    waiting.during = waiting.shifts.stop
    waiting.shifts.run()
    assert len(waiting.joined) == 1
    made = Group(Abilities(), lambda: None)
    begin = made._begin

    def stopped() -> Group:
        made.shifts.stop()
        return begin()

    made.shifts._begin = stopped  # a signal that comes at the worst moment
    made.shifts.run()
    assert made.stopped == 1


def test_it_joins_anew_when_asked() -> None:
    """In order: the loop is told to stop, and another is made."""
    group = Group(Abilities())
    group._ends = [group.shifts.again]
    group.shifts.run()
    assert (group.stopped, len(group.joined) - 1) == (2, 2)


def test_other_errors_end_the_worker() -> None:
    """A wrong setting is no reason to wait."""

    def wrong() -> None:
        raise UserError("no", remedy="mend it")

    with pytest.raises(UserError):
        Group(Abilities(), wrong).shifts.run()
