"""What the retrainer remembers: one training at a time, one a request, at most one a cool-down."""

from itertools import pairwise
from random import Random
from typing import Literal

import msgspec
import pytest

from shared.core.errors import Invalid
from shared.core.monitor_records import RetrainRequest, Verdict
from shared.core.retraining import (
    ATTEMPTS,
    Book,
    Bounds,
    Span,
    State,
    Training,
    asked,
    begun,
    checked,
    heard,
    moved,
    refused,
    spoiled_at,
    taken_over,
    verdict_of,
)
from shared.core.schedule import ScheduleTerms

HOUR, DAY = 3_600_000, 86_400_000
TERMS = ScheduleTerms(7 * DAY, 7 * DAY, window=60 * DAY, short=20 * DAY, follow_ups=(2 * DAY, 5 * DAY))
BOUNDS = Bounds("flights", frozenset({"1", "2"}), DAY)
NOW = 100 * DAY


def request(at: int = NOW, id: str = "a1", trigger: str = "errors", **changes: object) -> RetrainRequest:  # noqa: A002 - its name
    """A good request."""
    one = RetrainRequest(id=id, pipeline="flights", version="1", trigger=trigger, block=str(at), at=at, reasons=())
    return msgspec.structs.replace(one, **changes)


def said(
    at: int, trigger: str = "quality", verdict: Literal["ok", "alarm"] = "ok", window: tuple[int, int] = (0, 0)
) -> Verdict:
    """A verdict."""
    return Verdict(
        version="1", metric=trigger, trigger=trigger, verdict=verdict, n=1, window=window, since=window[0], at=at
    )


def ended(book: Book, state: State) -> Book:
    """The training in hand ends so."""
    assert book.running is not None
    return moved(book, msgspec.structs.replace(book.running, state=state), TERMS)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"{", "malformed"), (b"\xff\x00", "malformed"), (b"[" * 100_000, "malformed"), (b" " * (1 << 21), "malformed"),
        (request(v=2), "malformed"), (request(id="../../etc/passwd"), "name"), (request(version="1/../2"), "name"),
        (request(id="x" * 65), "name"), (request(pipeline="../flights"), "pipeline"), (request(version="9"), "version"),
        (request(at=NOW + DAY + 1), "future"), (request(at=-1), "future"),
    ],
)  # fmt: skip
def test_what_is_no_request_is_refused_and_counted(value: bytes | RetrainRequest, reason: str) -> None:
    """B37: malformed, a path in a name, another pipeline's, an unknown version, from the future: no training."""
    raw = value if isinstance(value, bytes) else msgspec.json.encode(value)
    with pytest.raises(Invalid) as error:
        checked(raw, BOUNDS, NOW)
    assert error.value.reason == reason
    book = refused(refused(Book(now=NOW), 3, reason), 4, reason)
    assert (book.requests, book.refused, book.now) == (4, {reason: 2}, NOW)
    assert begun(book, TERMS)[1] is None


def test_a_good_one_gets_one_training_and_a_replay_none() -> None:
    """F45, I14: the same request a thousand times, also after a week, is one training and no further answer."""
    book, answer = asked(Book(now=NOW), 0, checked(msgspec.json.encode(request()), BOUNDS, NOW), TERMS)
    assert answer is None
    book, training = begun(book, TERMS)
    assert training is not None
    assert (training.id, training.kind, training.window, training.state) == ("a1", "alarm", 20 * DAY, "running")
    for offset in range(1, 1_001):
        if offset == 500:
            book = heard(ended(book, "done"), 0, said(NOW + DAY))
        book, answer = asked(book, offset, request(), TERMS)
        assert (answer, book.waiting) == (None, None)
        assert begun(book, TERMS)[1] == (training if offset < 500 else None)
    assert book.requests == 1_000


def test_a_storm_is_one_training_a_cool_down() -> None:
    """F45: an alarm that flaps every ten seconds, each time another request, for ten minutes in each of five weeks."""
    book, started, answers, offset = Book(now=NOW), list[int](), list[Training](), 0
    alone = msgspec.structs.replace(TERMS, follow_ups=())
    for week in range(5):
        for tick in range(60):
            at = NOW + week * 7 * DAY + tick * 10_000
            book, answer = asked(book, offset, request(at, id=f"{week}-{tick}"), alone)
            offset += 1
            answers += [answer] if answer else []
            book, training = begun(heard(book, offset, said(at)), alone)
            if training is not None:
                started.append(training.at)
                book = moved(book, msgspec.structs.replace(training, state="done"), alone)
    assert all(b - a >= 7 * DAY for a, b in pairwise(started))
    assert len(started) == 5
    assert len(answers) == 5 * 60 - 5
    assert all(answer.state == "declined" and answer.reason for answer in answers)


def test_one_at_a_time_and_the_next_one_waits() -> None:
    """A request that is due while another is trained begins after it; one that finds one waiting is told so."""
    at_will = ScheduleTerms(0, 0)
    book, _ = asked(Book(), 0, request(trigger="manual"), at_will)
    book, first = begun(book, at_will)
    assert first is not None
    book, answer = asked(book, 1, request(NOW + 1, id="b", trigger="manual"), at_will)
    assert answer is None
    assert begun(book, at_will)[1] == first
    book, answer = asked(book, 2, request(NOW + 2, id="c", trigger="manual"), at_will)
    assert answer is not None
    assert answer.reason == "another one is waiting already"
    book = moved(book, msgspec.structs.replace(first, state="refused"), at_will)
    book, second = begun(book, at_will)
    assert second is not None
    assert (second.id, second.kind) == ("b", "manual")
    assert set(book.triggers) == {"b"}


def test_follow_ups_come_in_their_time_with_their_trigger() -> None:
    """An alarm's refit is followed up with the whole window, each under an id of its own."""
    book, _ = asked(Book(now=NOW), 0, request(), TERMS)
    book, _ = begun(book, TERMS)
    book = ended(book, "done")
    assert begun(book, TERMS)[1] is None
    for number, after in enumerate((2 * DAY, 5 * DAY), 1):
        book, training = begun(heard(book, number, said(NOW + after)), TERMS)
        assert training is not None
        assert (training.id, training.trigger, training.window) == (f"a1-{number}", "errors", 60 * DAY)
        book = ended(book, "done")
    assert begun(heard(book, 9, said(NOW + 50 * DAY)), TERMS)[1] is None


def test_nothing_is_trained_while_a_fault_stands() -> None:
    """B35: labels turned over or flooded hold every training but an operator's back, and their span is remembered."""
    book, _ = asked(Book(now=NOW), 0, request(), TERMS)
    window = (NOW - HOUR, NOW)
    book = heard(book, 1, said(NOW, "flipped", "alarm", window))
    book = heard(book, 2, said(NOW + HOUR, "flipped", "alarm", (NOW, NOW + HOUR)))
    assert begun(book, TERMS)[1] is None
    book = heard(book, 3, said(NOW + DAY, "flipped", "ok"))
    assert book.spoiled == (Span("flipped", NOW - HOUR, NOW + HOUR),)
    assert begun(book, TERMS)[1] is not None
    assert spoiled_at(book.spoiled, {"flipped"}, NOW)
    assert not spoiled_at(book.spoiled, {"flipped"}, NOW + HOUR)
    assert not spoiled_at(book.spoiled, {"schema"}, NOW)
    manual, _ = asked(
        heard(Book(now=NOW), 0, said(NOW, "conflicts", "alarm", window)), 1, request(trigger="manual"), TERMS
    )
    assert begun(manual, TERMS)[1] is not None


def test_a_training_is_given_up_after_so_many_lives() -> None:
    """Whoever takes a training over counts it, and no model that kills its trainer is trained for ever."""
    book, _ = asked(Book(now=NOW), 0, request(), TERMS)
    book, training = begun(book, TERMS)
    assert training is not None
    for attempt in range(1, ATTEMPTS + 1):
        training = taken_over(training)
        assert (training.state, training.attempts) == ("running", attempt)
    training = taken_over(training)
    assert (training.state, training.reason) == ("failed", "given up after 5 attempts")
    after = moved(book, training, TERMS)
    assert after.running is None
    assert taken_over(msgspec.structs.replace(training, state="passed")).state == "passed"


def test_random_lives_keep_the_promises() -> None:
    """I14: whatever comes in whatever order, ids are trained once, and alarms are a cool-down apart."""
    seed = Random().randrange(1 << 30)
    print(f"seed {seed}")
    dice, book, started, now = Random(seed), Book(), list[Training](), NOW
    told: dict[int, RetrainRequest] = {}
    for offset in range(3_000):
        now += dice.choice((HOUR, DAY, 0))
        trigger, which = dice.choice(("errors", "loss", "schedule", "quality")), dice.randrange(offset // 2 + 1)
        one = told.setdefault(which, request(now, id=f"r{which}", trigger=trigger))
        book, _ = asked(heard(book, offset, said(now)), offset, one, TERMS)
        book = msgspec.json.decode(msgspec.json.encode(book), type=Book)
        before = book.running
        book, training = begun(book, TERMS)
        if training is not None and before is None:
            started.append(training)
        if training is not None and dice.random() < 0.5:
            book = ended(book, dice.choice(("done", "refused", "failed")))
    assert len(started) > 20
    assert len({one.id for one in started}) == len(started)
    firsts = [one.at for one in started if not one.number]
    assert all(b - a >= TERMS.cooldown for a, b in pairwise(firsts))


def test_the_gates_verdict_says_who_is_meant() -> None:
    """Of the challenger where there is one; of the champion where the answer was no."""
    no = Training(id="a", request="a", trigger="errors", state="refused", at=5, champion="1", reason="worse")
    assert (verdict_of(no).version, verdict_of(no).verdict, verdict_of(no).reasons) == ("1", "warn", ("worse",))
