"""What `tailrace retrain` and `tailrace trainings` say."""

import msgspec
import pytest

from shared.core.asks import Ask, name_of
from shared.core.gate import Compared, GateFigures
from shared.core.monitor_records import RetrainRequest
from shared.core.records import BundleRef
from shared.core.retraining import Training
from tailrace.retraining.followed import Followed, answer_of, serves
from tailrace.retraining.listed import Listed, gate_of, table_of

ASK = Ask("0123abcd", 0, "a new airline")
GATE = GateFigures(
    passed=True, judged=True, mode="not_worse", errors=2.0, reasons=(),
    whole=Compared(labels=900, blocks=3, champion=0.5, challenger=0.4, difference=-0.1, error=0.012, limit=0.024),
)  # fmt: skip
DONE = Training(
    id="f00d", request="f00d", trigger="manual", state="done", at=1_360_000_000_000, champion="1", gate=GATE,
    challenger=BundleRef("2", "http://x", "d"), epoch=2,
)  # fmt: skip
FIGURES = "gate: loss 0.4 against 0.5 (-0.1 +- 0.012)"


def request(block: str) -> RetrainRequest:
    """A request that begins with this."""
    return RetrainRequest(id="f00d", pipeline="x", version="1", trigger="manual", block=block, at=0, reasons=())


def test_a_wish_is_found_in_its_request() -> None:
    """By its id, whatever was said beside it; nobody else's request is taken for it."""
    assert serves(request(name_of(ASK)), ASK)
    assert not serves(request("other: a new airline"), ASK)


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (Followed(ASK), "asked as 0123abcd; no request yet: the analyst keeps it until the cool-down's end"),
        (Followed(ASK, "f00d"), "requested as f00d; no answer yet: does the retrainer run?"),
        (Followed(ASK, "f00d", DONE), f"f00d · done · version 2 is the challenger · {FIGURES}"),
    ],
)
def test_the_answer_is_one_line(found: Followed, told: str) -> None:
    """How far it came, with the gate's figures."""
    assert answer_of(found) == told


def test_trainings_are_lines_and_what_holds_back_stands_below() -> None:
    """A line a training; standing faults and values that were no requests are not forgotten."""
    no = msgspec.structs.replace(DONE, id="beef", state="declined", gate=None, challenger=None, reason="too early")
    lines = table_of(Listed("x", 0, "", ("flipped",), {"future": 2, "name": 1}, (DONE, no))).splitlines()
    assert lines == [
        f"2013-02-04 17:46 · f00d · manual · done · version 2 · {FIGURES}",
        "2013-02-04 17:46 · beef · manual · declined · too early",
        "held back by: flipped",
        "values that were no requests: future 2, name 1",
    ]
    assert table_of(Listed("x", 0, "", (), {}, ())) == "no training of x yet"


def test_what_was_not_judged_is_said_so() -> None:
    """Without a standard error there is no comparison to show."""
    whole = msgspec.structs.replace(GATE.whole, labels=12, error=None)
    few = msgspec.structs.replace(DONE, gate=msgspec.structs.replace(GATE, judged=False, whole=whole))
    assert gate_of(few) == "gate: not judged (12 labels)"
