"""Turns of the analyst: one request for a rise, none for a fault, and a memory that neither forgets nor grows."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

import msgspec
import numpy as np
import pytest

from services.monitor.analyst.kept import Kept
from services.monitor.analyst.memory import WATCHES, Memory, Turn, expired, fold_blocks, turn
from services.monitor.analyst.subject import Subject
from services.monitor.analyst.terms import LookTerms
from shared.core.monitor_records import Account, ErrorBlock, Scorecard, account_key, scorecard_key
from tests.support.looks import (
    DAY,
    JUMPED,
    MOVED,
    PARTITIONS,
    T0,
    TERMS,
    WRONG,
    account,
    blocks,
    card,
    days,
    numbered,
    subject,
)

QUIET = msgspec.structs.replace(TERMS, policy=msgspec.structs.replace(TERMS.policy, every=None))
ASKING = msgspec.structs.replace(QUIET, policy=msgspec.structs.replace(QUIET.policy, drift="retrain"))
SUBJECTS = {"v1": subject(), "v2": subject("v2")}


def _accounts(until: int, **more: object) -> list[Account]:
    return [account(day, partition, **more) for day in range(until) for partition in range(PARTITIONS)]


def _day(
    memory: Memory, cards: Sequence[Scorecard], found: Iterable[ErrorBlock], until: int, terms: LookTerms = QUIET,
    champion: str = "v1", manual: str = "", accounts: Sequence[Account] | None = None,
) -> Turn:  # fmt: skip
    memory = fold_blocks(memory, numbered(list(found), memory.errors + 1), SUBJECTS, terms)
    heard = _accounts(until) if accounts is None else accounts
    return turn(memory, cards, heard, champion, SUBJECTS, terms, manual=manual)


def _run(
    shares: Sequence[float], cards: Sequence[Scorecard] = (), terms: LookTerms = QUIET, *,
    accounts: Sequence[Account] | None = None,
) -> list[Turn]:  # fmt: skip
    """A turn at the end of each day, whose labels are wrong in such a share."""
    turns = list[Turn]()
    for day, share in enumerate(shares):
        seen = list(_as_of(cards or days(0, day + 1), day + 1))
        memory = turns[-1].memory if turns else Memory()
        now = None if accounts is None else accounts[: (day + 1) * PARTITIONS]
        turns.append(_day(memory, seen, blocks(day, day + 1, share, day), day + 1, terms, accounts=now))
    return turns


def _as_of(cards: Iterable[Scorecard], until: int) -> Iterator[Scorecard]:
    """Cards as they are known when so many days are over."""
    for one in cards:
        if one.window < (now := T0 + until * DAY):
            closed, offset = one.window + 2 * DAY < now, min(one.offset, until * 1_000)
            yield msgspec.structs.replace(one, watermark=min(one.watermark, now), closed=closed, offset=offset)


def _requests(turns: Iterable[Turn]) -> list[str]:
    return [one.request.trigger for one in turns if one.request is not None]


def _alarms(one: Turn) -> set[str]:
    return {verdict.metric for verdict in one.verdicts if verdict.verdict == "alarm"}


def test_nothing_heard_decides_nothing() -> None:
    """No card, no block, no champion: a turn gives nothing, and forgets nothing."""
    empty = turn(Memory(), [], [], "", {}, TERMS)
    assert empty == Turn(memory=Memory())
    assert turn(Memory(), [], [], "v1", {}, TERMS).verdicts == ()


def test_errors_as_ever_ask_for_nothing() -> None:
    """Twenty days as in the holdout: no alarm, no request."""
    turns = _run([WRONG] * 20)
    assert _requests(turns) == []
    assert {name for one in turns for name in _alarms(one)} == set()


def test_a_rise_asks_once_when_its_day_is_over() -> None:
    """Errors go from 20 to 35 %: one request, with reasons, offsets and the version it concerns; no other in a week."""
    turns = _run([WRONG] * 8 + [0.35] * 6)
    asked = [one for one in turns if one.request is not None]
    assert len(asked) == 1
    request = asked[0].request
    assert request is not None
    assert (request.version, request.pipeline, request.trigger) == ("v1", "parcels", "errors")
    assert request.at >= T0 + 9 * DAY
    assert request.offsets["errors/0"] > 0
    assert request.offsets["journal/0"] == asked[0].looks[0].offsets["journal/0"] > 0
    assert request.reasons[0].metric == "rise_of_errors"


def test_a_crash_before_the_memory_is_stored_asks_by_the_same_id() -> None:
    """The turn that asked is taken again, later and with more blocks: it is the same request."""
    turns = _run([WRONG] * 8 + [0.35] * 6)
    at = next(i for i, one in enumerate(turns) if one.request is not None)
    again = _day(turns[at - 1].memory, days(0, at + 2), blocks(at, at + 2, 0.35, 99), at + 2)
    asked = turns[at].request
    assert asked is not None
    assert again.request is not None
    assert again.request.id == asked.id


def test_labels_turned_over_for_a_while_alarm_and_never_ask() -> None:
    """For three days every label says the opposite: it alarms as what it is; nothing is asked for, then or later."""
    shares = [WRONG] * 8 + [1 - WRONG] * 3 + [WRONG] * 8
    cards = [*days(0, 8, known=19), *days(8, 11, known=19, wrong=1 - WRONG), *days(11, 19)]
    for terms in (QUIET, ASKING, msgspec.structs.replace(QUIET, goal={"accuracy": 0.7})):
        turns = _run(shares, cards, terms)
        assert any("labels_turned_over" in _alarms(one) for one in turns)
        assert _requests(turns) == []


def test_a_unit_jump_alarms_and_never_asks() -> None:
    """A feature leaps to one end, and errors with it, for three days: a fault of records, and no retraining."""
    shares = [WRONG] * 12 + [0.6] * 3 + [WRONG] * 6
    cards = [*days(0, 12, known=21), *days(12, 15, known=21, shares=JUMPED, wrong=0.6), *days(15, 21)]
    for terms in (QUIET, ASKING):
        turns = _run(shares, cards, terms)
        assert any("unit_jump" in _alarms(one) for one in turns)
        assert _requests(turns) == []


@pytest.mark.parametrize("wrong", [{"labels": 20, "matched": 20}, {"conflicting": 150}, {"invalid": 400}])
def test_failing_labels_and_entries_never_ask(wrong: dict[str, int]) -> None:
    """Labels cease, contradict each other, or entries cannot be read, while errors rise: an alarm, and no request."""
    accounts = [
        account(day, partition, **(wrong if 12 <= day < 15 else {}))
        for day in range(20)
        for partition in range(PARTITIONS)
    ]
    turns = _run([WRONG] * 12 + [0.6] * 3 + [WRONG] * 5, accounts=accounts)
    assert _requests(turns) == []
    assert any(_alarms(one) & {"label_outage", "conflicts", "invalid_entries"} for one in turns)


@pytest.mark.parametrize(("terms", "asked"), [(QUIET, []), (ASKING, ["features"])])
def test_features_ask_only_where_the_pipeline_says_so(terms: LookTerms, asked: list[str]) -> None:
    """Moved features are shown; with `drift.action: retrain` they ask, once in a cool-down."""
    cards = [*days(0, 12, known=16), *days(12, 16, shares=MOVED)]
    turns = _run([WRONG] * 16, cards, terms)
    assert _requests(turns) == asked
    assert any(v.metric == "features" and v.verdict == "warn" for one in turns for v in one.verdicts)


def test_a_missed_goal_asks() -> None:
    """Accuracy of days whose labels are there lies wholly below the goal: that asks by itself."""
    turns = _run([WRONG] * 10, terms=msgspec.structs.replace(QUIET, goal={"accuracy": 0.9}))
    assert _requests(turns)[0] == "quality"


def test_a_turn_again_changes_nothing_but_what_time_changes() -> None:
    """The same turn twice: the same looks and verdicts, no second request, no figures told twice, the same memory."""
    memory = _run([WRONG] * 8 + [0.35] * 6)[-1].memory
    once = _day(memory, days(0, 14), [], 14)
    twice = _day(once.memory, days(0, 14), [], 14)
    assert (twice.memory, twice.looks, twice.verdicts) == (once.memory, once.looks, once.verdicts)
    assert (twice.request, twice.then) == (None, ())


def test_what_is_kept_changes_no_answer() -> None:
    """With and without values kept from turn to turn, and from a memory that was stored and read: equal turns."""
    kept, with_, without = Kept(), Memory(), Memory()
    every = days(0, 14, known=14)
    for until in range(1, 15):
        cards = [one for one in every if one.window < T0 + until * DAY]
        with_ = fold_blocks(with_, numbered(blocks(until - 1, until, 0.3, until)), SUBJECTS, QUIET)
        without = fold_blocks(without, numbered(blocks(until - 1, until, 0.3, until)), SUBJECTS, QUIET)
        one = turn(with_, cards, _accounts(until), "v1", SUBJECTS, QUIET, kept=kept)
        other = turn(without, cards, _accounts(until), "v1", SUBJECTS, QUIET)
        assert one == other
        with_, without = one.memory, msgspec.json.decode(msgspec.json.encode(other.memory), type=Memory)


def test_a_new_champion_begins_anew() -> None:
    """v2 has a watch and a reference of its own; v1's rise is not its; the cool-down goes on."""
    before = _run([WRONG] * 8 + [0.35] * 4)[-1].memory
    cards = [*days(0, 12, known=14), *days(12, 14, version="v2")]
    after = _day(before, cards, blocks(12, 14, WRONG, 50, version="v2"), 14, champion="v2")
    assert set(after.memory.watches) == {"v1", "v2"}
    assert [(one.version, one.shadow) for one in after.looks] == [("v2", False)]
    assert _alarms(after) == set()
    assert {verdict.version for verdict in after.verdicts} == {"v2"}
    assert after.memory.policy.asked == before.policy.asked


def test_shadows_are_watched_and_only_the_champion_decides() -> None:
    """A shadow whose errors rise has a watch and a look of its own, and no verdict and no request."""
    cards = [*days(0, 10), *days(0, 10, version="v2", shadow=True)]
    found = [*blocks(0, 10, WRONG, 1), *blocks(0, 10, 0.7, 2, version="v2", shadow=True)]
    one = _day(Memory(), cards, found, 10)
    assert set(one.memory.watches) == {"v1", "v2~shadow"}
    assert [(seen.version, seen.shadow) for seen in one.looks] == [("v1", False), ("v2", True)]
    assert any(f.metric == "rise_of_errors" and f.level == "alarm" for f in one.looks[1].findings)
    assert ({verdict.version for verdict in one.verdicts}, one.request) == ({"v1"}, None)


def test_an_operator_asks_without_any_scorecard() -> None:
    """Before anything was heard of the champion a request by hand is served, once."""
    one = _day(Memory(), [], [], 0, manual="op-1")
    assert one.request is not None
    assert (one.request.trigger, one.request.version) == ("manual", "v1")
    assert _day(one.memory, [], [], 0, manual="op-1").request is None


def test_so_many_labels_ask_and_are_counted_from_there() -> None:
    """After 6,000 labels, 1,000 a day, and after 6,000 more; the cool-down holds the second back until its end."""
    policy = msgspec.structs.replace(QUIET.policy, labels=6_000, cooldown=8 * DAY)
    turns = _run([WRONG] * 16, terms=msgspec.structs.replace(QUIET, policy=policy))
    asked = [day + 1 for day, one in enumerate(turns) if one.request is not None]
    assert (_requests(turns), asked) == (["labels", "labels"], [7, 15])


def test_a_partition_that_is_behind_holds_event_time_back() -> None:
    """One partition is three days behind: what the other says of those days is looked at when it is there too."""
    behind = [card(day, 0, known=12) for day in range(12)] + [card(day, 1, known=9) for day in range(9)]
    (seen,) = _day(Memory(), behind, [], 9).looks
    assert (seen.now, seen.windows[-1].until) == (T0 + 9 * DAY, T0 + 10 * DAY)
    assert seen.windows[-1].observed == 500


def test_a_clock_that_jumps_by_years_asks_once() -> None:
    """Event time leaps forty years: the weekly clock asks once, not 2,000 times, and not again when it is back."""
    memory = _run([WRONG] * 8)[-1].memory
    far = [account(40 * 365, partition) for partition in range(PARTITIONS)]
    first = _day(memory, days(0, 8), [], 8, TERMS, accounts=far)
    again = _day(first.memory, days(0, 8), [], 8, TERMS, accounts=far)
    back = _day(again.memory, days(0, 9), blocks(8, 9, WRONG, 9), 9, TERMS)
    assert _requests([first, again, back]) == ["schedule"]
    assert back.memory.policy.now == first.memory.policy.now


def test_figures_as_known_then_are_told_once() -> None:
    """When a day is over its figures of that moment are told, with what was read; later labels tell nothing again."""
    told = _run([WRONG] * 4)
    assert [[(one.window - T0) // DAY for one in turned.then] for turned in told] == [[0], [1], [2], [3]]
    assert {one.then[0].at - one.then[0].window for one in told} == {DAY}
    assert told[-1].then[0].offsets["journal/1"] == 4_000


def test_nobody_was_there_to_know_old_windows_then() -> None:
    """At a first start on a topic of a month only the day that is just over is told: of the others nobody knows."""
    (only,) = _day(Memory(), days(0, 30), [], 30).then
    assert only.window == T0 + 29 * DAY


def test_a_reference_that_comes_later_counts_from_the_beginning() -> None:
    """A bundle that could not be fetched at first changes nothing in the end: the watch is as if it had been there."""
    found = numbered(blocks(0, 4, WRONG, 3))
    late = fold_blocks(Memory(), found[:40], {}, QUIET)
    late = fold_blocks(late, found[40:], SUBJECTS, QUIET)
    assert late == fold_blocks(Memory(), found, SUBJECTS, QUIET)
    nothing = turn(fold_blocks(Memory(), found, {}, QUIET), [], [], "v1", SUBJECTS, QUIET)
    assert nothing.memory.watches == late.watches


def test_a_memory_of_other_terms_begins_its_watch_anew() -> None:
    """The file asks for ADWIN now: the blocks that are remembered are folded by it."""
    adwin = msgspec.structs.replace(QUIET, detectors=msgspec.structs.replace(QUIET.detectors, detector="adwin"))
    found = numbered(blocks(0, 4, WRONG, 3))
    before = fold_blocks(Memory(), found, SUBJECTS, QUIET)
    after = turn(before, [], [], "v1", SUBJECTS, adwin).memory
    assert after.watches == fold_blocks(Memory(), found, SUBJECTS, adwin).watches


def test_a_version_without_baselines_learns_from_its_first_labels() -> None:
    """Nobody knows it: the first 5,000 labels are its reference."""
    nobody = {"v1": Subject("v1")}
    memory = fold_blocks(Memory(), numbered(blocks(0, 4, WRONG, 3)), nobody, QUIET)
    state = memory.watches["v1"].state
    assert [one.kind for one in state.references] == ["errors", "loss"]
    assert state.labels == 4 * 40 * PARTITIONS * 25 - 5_000


def test_expired_keys_are_those_no_look_needs() -> None:
    """What is older than any look goes, a window after looks let go of it; what the last look saw stays."""
    every: list[Scorecard | Account] = [*days(0, 200), *_accounts(200)]
    gone = expired(every, T0 + 200 * DAY, QUIET)
    back = 90 + 7 + 1 + 1 + 1  # windows; rolling, horizon and hold in days; one more
    assert len(gone) == 2 * PARTITIONS * (200 - back)
    assert {scorecard_key(card(0)), account_key(account(0))} <= set(gone)
    assert expired(every, T0 + 50 * DAY, QUIET) == []


def test_the_memory_does_not_grow() -> None:
    """A year of weekly versions: watches and the policy's memory stay few, and the label count is right."""
    memory, sizes = Memory(), list[int]()
    for week in range(52):
        version, first = f"v{week}", week * 7
        cards = days(first, first + 7, version=version, n=400, shares=())
        found = blocks(first, first + 7, WRONG, week, version=version)[::20]
        folded = fold_blocks(memory, numbered(found, memory.errors + 1), {}, TERMS)
        done = turn(folded, cards, [], version, {}, TERMS)
        memory = done.memory
        sizes.append(len(msgspec.json.encode(memory)))
        assert done.looks[0].labels == 7 * PARTITIONS * 400
    assert len(memory.watches) <= WATCHES + 1
    assert (len(memory.before), len(memory.told)) == (1, 1)
    print([b - a for a, b in pairwise(sizes[30:])])
    assert max(sizes[30:]) < 1.2 * min(sizes[30:])


def test_one_long_version_keeps_a_bounded_watch() -> None:
    """Two hundred days of one version, 16,000 blocks: at most 2,048 of them are remembered."""
    memory = Memory()
    for day in range(200):
        found = blocks(day, day + 1, WRONG, day)
        memory = fold_blocks(memory, numbered(found, memory.errors + 1), SUBJECTS, QUIET)
    assert len(memory.watches["v1"].tail) < 2_048
    assert memory.watches["v1"].state.labels == 200 * 40 * PARTITIONS * 25
    assert np.isfinite(memory.watches["v1"].state.errors.levels[0].value)
