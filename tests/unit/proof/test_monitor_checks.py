"""Each check of `tailrace verify monitor` finds the breach that is planted, and nothing where there is none."""

import json
import random
from collections import Counter
from typing import Any

import pytest

from shared.core.pipeline_file import decode
from shared.runtime.settings import LoopSettings
from tailrace.proof import monitor_checks as checks
from tailrace.proof.monitor_analyst import figures, requests, said
from tailrace.proof.monitor_books import Books, status_of
from tailrace.proof.monitor_checks import Published
from tailrace.proof.monitor_plan import Request, plan
from tailrace.proof.monitor_saying import ABORTED
from tailrace.proof.monitor_terms import DAY, bend
from tailrace.recompute.entries import Reader
from tailrace.recompute.fold import fold
from tailrace.recompute.terms import terms_of, times_of
from tailrace.recompute.then import Then
from tests.support.journals import label, observation
from tests.support.spec import make_tree

T0 = 1_767_225_600_000
WEEK = 7 * DAY


def account(key: str, *, closed: bool = False, **sums: int) -> tuple[bytes, bytes]:
    """A value of `scorecards`."""
    tree: dict[str, Any] = {"type": "account", "sums": sums} | ({"closed": True} if closed else {})
    return key.encode(), json.dumps(tree, separators=(",", ":")).encode()


def outcome(identity: str, status: str = "matched", value: str = "late") -> bytes:
    """A value of `outcomes`."""
    return json.dumps({"status": status, "label": {"id": identity, "value": value}}).encode()


def world() -> tuple[Published, Books]:
    """Two labels matched, one orphaned without a place, one refused; everything as it should be."""
    books = Books()
    for i in range(2):
        books.meets("matched", DAY, (f"r{i}", 0, "matched", "late"), at=True)
    books.label("orphaned", at=False)
    books.letters["not_json"] += 1
    first = account("/1", labels=1, matched=1)
    last = account("/1", closed=True, labels=3, matched=2, orphaned=1, astray=1, ticks=5)
    found = Published(letters=Counter(not_json=1), labels=4)
    for one in (first, last):
        found.take_card(*one)
    for value in (outcome("r0"), outcome("r1")):
        found.take_outcome(value)
    return found, books


def test_nothing_is_found_where_all_is_well() -> None:
    """The last value of each account counts, ticks are not in the books, and the labels add up."""
    found, books = world()
    told = [checks.aborted(found), checks.closed_again(found)]
    told += [check(found, books) for check in (checks.accounts, checks.outcomes, checks.letters)]
    assert [0] * 5 == [one.count for one in told]


def test_planted_breaches_are_found() -> None:
    """An aborted read, a window told again, a label too few or of another status, outcomes lost and doubled."""
    found, books = world()
    found.suspect(b'{"flags":["%s"]}' % ABORTED.encode())
    assert checks.aborted(found).count == 1
    found, books = world()
    found.take_card(*account("/1", labels=3, matched=2, orphaned=1))
    assert checks.closed_again(found).examples == ("/1 was told again after it was closed",)
    assert checks.accounts(found, books).examples == ("astray: 0 instead of 1",)
    found, books = world()
    found.labels += 1
    assert checks.accounts(found, books).examples == ("4 labels were read and not refused, 3 counted, 3 have a status",)
    found, books = world()
    found.outcomes.subtract([("r0", 0, "matched", "late")])
    found.take_outcome(outcome("r1"))
    lost, more = checks.outcomes(found, books).examples
    assert ("lost: ('r0'", "doubled or made up: ('r1'") == (lost[:11], more[:25])
    found.letters["wrong_type"] += 1
    assert checks.letters(found, books).examples == ("wrong_type: 1 instead of 0",)


def test_a_delay_near_a_border_is_refused() -> None:
    """The books know what becomes of a label only where it keeps its distance."""
    assert ["matched", "late", "orphaned"] == [status_of(round(days * DAY), "matched") for days in (19, 22, 27)]
    for days in (19.5, 20, 20.5, 23.5, 25, 31):
        with pytest.raises(ValueError, match="too near"):
            status_of(round(days * DAY), "matched")


def test_requests_of_one_cooldown_or_one_id_for_two_are_found() -> None:
    """The same request again is no second one."""
    one: dict[str, Any] = {"id": "a", "version": "1", "trigger": "errors", "block": "b", "at": T0}
    other = {**one, "id": "c", "at": T0 + WEEK}
    good = [json.dumps(tree).encode() for tree in (one, one, other)]
    assert requests(said([], good), WEEK).count == 0
    assert requests(said([], [*good, json.dumps({**one, "id": "d", "at": T0 + DAY}).encode()]), WEEK).count == 2
    assert requests(said([], [*good, json.dumps({**one, "block": "e"}).encode()]), WEEK).examples == (
        "a is two requests",
    )


def window(offset: int, observed: int, labelled: int, accuracy: float | None) -> bytes:
    """Figures of a window as known when the journal was read up to an offset."""
    tree = {
        "type": "window", "version": "v1", "window": T0 // DAY * DAY, "span": DAY, "at": T0, "observed": observed,
        "labelled": labelled, "figures": {"accuracy": [accuracy, None, None, labelled]},
        "offsets": {"journal/0": offset, "errors/0": 3},
    }  # fmt: skip
    return json.dumps(tree).encode()


def test_figures_are_compared_as_of_the_offsets_that_they_name() -> None:
    """A label that came later is not in it: what was true then is no mistake, and what is true now would be one."""
    spec = decode(bend(make_tree()), "parcels")
    dice = random.Random(3)
    seen = [observation(spec, f"r{i}", T0 + i, dice, version="v1") for i in range(2)]
    truth = [label(f"r{i}", one["prediction"]["label"], T0 + DAY // 2) for i, one in enumerate(seen)]
    entries = [(10 + i, json.dumps(one).encode()) for i, one in enumerate([*seen, *truth])]
    then = Then(times_of(spec), terms_of(spec))
    told, _ = fold(entries, times_of(spec), terms_of(spec), Reader(spec))
    then.keep(0, told)
    good = [window(11, 1, 0, None), window(12, 2, 0, None), window(13, 2, 1, 1.0), window(14, 2, 2, 1.0)]
    assert figures(said(good, []), then).count == 0
    for bad in (window(12, 2, 2, 1.0), window(13, 2, 1, 0.5), window(14, 2, 2, None), window(14, 1, 2, 1.0)):
        assert figures(said([*good, bad], []), then).count > 0
    assert figures(said([], []), then).count == 1


def test_the_plan_is_the_seeds() -> None:
    """As many kills as asked for, one observer that joins before it leaves, and the same again for the same seed."""
    request = Request(observer_kills=30, analyst_kills=10, seed=7)
    first, later = plan(request, LoopSettings())
    kinds = Counter(one.kind for one in [*first, *later])
    assert {"kill": 24, "disk": 6, "router": 3, "analyst": 10, "freeze": 3, "join": 1, "leave": 1} == kinds
    order = [one.kind for one in first if one.kind in {"join", "leave"}]
    assert ["join", "leave"] == order
    assert len(later) == 9
    assert (first, later) == plan(request, LoopSettings())
    assert (first, later) != plan(Request(seed=8), LoopSettings())
    assert plan(Request(observer_kills=0, analyst_kills=0), LoopSettings()) == ([], [])
