"""A storm of requests on a real broker: at most one training a cool-down, whatever is asked and however often."""

from collections.abc import Callable
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

from shared.core.monitor_records import RetrainRequest
from shared.core.retraining import Book
from tests.support.bundles import HOUR, START
from tests.support.quick_retrainer import MODULE
from tests.support.retrainers import Retrainers
from tests.support.wait import until
from tests.support.world import World

pytestmark = pytest.mark.system
BEGIN = START + 1_500 * HOUR
FLAPS, REPLAYS, TICK, COOLDOWN = 60, 1_000, 10_000, 300_000


def test_a_storm_is_at_most_one_training_a_cool_down(world: Callable[..., World], tmp_path: Path) -> None:
    """Issue 7: drift flaps every 10 s for 10 min, and 1,000 replays of it: with a cool-down of 5 min two trainings.

    All of them are refused: a promoted one would answer later requests by itself.
    """
    w = world(retraining={"cooldown": "5m", "every": None, "alarm_period": "5m", "follow_ups": []})
    started = tmp_path / "started"
    found = Retrainers(w, "http://127.0.0.1:1", {"TAILRACE_TEST_STARTED": str(started)}, MODULE)
    with closing(found):
        found.tell(BEGIN)
        found.start()
        until(lambda: "takes over" in found.log(), "a retrainer at work", 60)
        for flap in range(FLAPS):
            found.tell(BEGIN + flap * TICK, "errors", "alarm" if flap % 2 else "ok")
            found.ask(f"flap-{flap}", BEGIN + flap * TICK)
        again = [request(w.spec.name, flap) for flap in range(FLAPS)]
        w.send("retrain", [("x", again[n * 7 % FLAPS], None) for n in range(REPLAYS)])
        read = FLAPS + REPLAYS - 1
        until(lambda: bool(found.trainings()) and found.book().requests == read, "every request to be read", 120)
        until(lambda: at_rest(found.book()), "the last training", 120)
        trainings = found.trainings()
    made = sorted(one.at for one in trainings.values() if one.state == "refused")
    declined = [one for one in trainings.values() if one.state == "declined"]
    assert len(made) == 2, [(one.id, one.state, one.at) for one in trainings.values()]
    assert all(later - sooner >= COOLDOWN for sooner, later in pairwise(made))
    assert len(started.read_text().split()) == len(made)
    assert all(one.reason for one in declined)
    assert {one.request for one in trainings.values()} == {f"flap-{flap}" for flap in range(FLAPS)}


def at_rest(book: Book) -> bool:
    """Nothing is in hand; what is kept is kept for later than event time."""
    in_hand = (book.running, book.waiting, *(fit for fit in book.schedule.pending if fit.at <= book.now))
    return not any(in_hand)


def request(pipeline: str, flap: int) -> bytes:
    """One flap's request, as it was asked."""
    return msgspec.json.encode(
        RetrainRequest(
            id=f"flap-{flap}", pipeline=pipeline, version="1", trigger="errors", block="0",
            at=BEGIN + flap * TICK, reasons=(),
        )
    )  # fmt: skip
