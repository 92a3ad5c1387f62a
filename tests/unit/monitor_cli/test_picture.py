"""The picture that `tailrace monitor status` draws: what is not there, what is broken, then what is."""

from typing import get_args

import msgspec
import pytest

from services.monitor.analyst.findings import Trigger
from shared.core.monitor_records import Account, RetrainRequest, Scorecard, Sums
from shared.core.records import BundleRef, Position, Rollout
from shared.testing.log import MemoryMessage
from tailrace.monitor.runbook import ADVICE, advice
from tailrace.monitor.status import Status, grouped, status
from tailrace.monitor.status_text import status_text
from tests.support.pictures import DAY, MAY, Past

GOALS = {"labels": {"horizon": "2d", "classes": ["on_time", "late"], "positive": "late"},
         "monitoring": {"goal": {"auc": 0.74}}}  # fmt: skip


def told(past: Past) -> Status:
    """The answers two minutes after the last message."""
    return status(past.picture(), 121_000)


def usual() -> Past:
    """Twenty days of a version whose labels have come."""
    return Past(sections=GOALS).knows("v1", auc=0.77).days(0, 20)


def test_of_nothing_everything_is_unknown() -> None:
    """Empty topics make a picture in which nothing is 0 and nothing is in order."""
    found = told(Past())

    assert (found.state, found.version, found.working.coverage, found.quality.figures) == ("unknown", "", None, ())
    assert found.working.analyst is None
    assert "no scorecard was published yet" in found.working.problems[0]
    text = status_text(found)
    assert "no version in force  unknown  event time unknown" in text
    assert "nothing is known yet" in text


def test_a_version_without_labels_is_unknown() -> None:
    """Before any label came every figure is unknown with its reason, and so is the coverage; the exit stays calm."""
    past = Past(sections=GOALS).knows("v1").days(0, 2, labelled=False, closed=False)

    found = told(past)

    assert {one.value for one in found.quality.figures} == {None}
    assert {one.state for one in found.quality.figures} == {"unknown"}
    assert all(one.why for one in found.quality.figures)
    assert found.quality.estimate is not None
    assert found.quality.estimate.value is None
    assert "unknown" in status_text(found)


def test_one_class_only_has_no_auc() -> None:
    """Where all labels say the same, AUC is unknown and not 0."""
    past = Past(sections=GOALS).knows("v1")
    for day in range(4):
        scores = Sums(n=300, labelled=300, scores=(300,), labelled_scores=(300,), hits=(0,), score_sums=(0,),
                      confusion=(300, 0, 0, 0))  # fmt: skip
        start = MAY + day * DAY
        past.card(Scorecard(version="v1", window=start, span=DAY, partition=0, rate=1_000_000, offset=day + 1,
                            watermark=start + 5 * DAY, closed=True, sums=scores))  # fmt: skip

    figures = {one.figure: one for one in told(past).quality.figures}

    assert (figures["auc"].value, figures["auc"].state, figures["auc"].why) == (None, "unknown", "only one class came")
    assert figures["accuracy"].value == 1.0


def test_a_version_that_nobody_announced() -> None:
    """Its figures are shown, and that it has no reference is said with the reason."""
    past = Past(sections=GOALS).days(0, 5)
    past.refused["v1"] = "nobody announced it"

    found = told(past)

    assert found.working.problems[0] == "version v1 has no reference to be compared with: nobody announced it"
    assert any(one.value is not None for one in found.quality.figures)
    assert "features" in found.unknown


def test_a_version_in_force_of_which_nothing_came() -> None:
    """A champion without any scorecard is not confused with the one before it."""
    past = usual()
    rollout = Rollout(past.spec.name, 2, BundleRef("v2", "file:///x", "0" * 64), "active")
    past.known.take("models", MemoryMessage(Position("models", 0, 1), b"", msgspec.json.encode(rollout), time=1))

    found = told(past)

    assert (found.version, found.quality.window) == ("v2", None)
    assert "nothing of version v2, which is in force, was observed yet" in found.working.problems


def test_what_cannot_be_read_is_counted() -> None:
    """Broken values on any topic are left out and said; the picture is that of the others."""
    past = usual()
    before = told(past)
    for i, value in enumerate((b"{", b"\xff", b'{"type":"scorecard"}', b'{"type":"new thing"}')):
        past.known.take("scorecards", MemoryMessage(Position("scorecards", 0, i), b"k", value, time=1_000))

    after = told(past)

    assert after.working.problems[0].startswith("4 values of the topic scorecards cannot be read")
    assert after.quality == before.quality


def test_a_card_of_another_pipeline_changes_nothing() -> None:
    """A scorecard with more classes than the pipeline has is left out."""
    past = usual()
    before = told(past)
    past.card(Scorecard(version="v1", window=MAY, span=DAY, partition=5, rate=1_000_000, offset=1, watermark=MAY,
                        sums=Sums(n=9, labelled=9, confusion=(1,) * 9)))  # fmt: skip

    assert told(past).quality == before.quality


def test_twice_is_once() -> None:
    """The topics read a second time, as after a replay, give the same picture."""
    once = usual()
    told_before: list[Scorecard | Account] = [*once.known.cards.values(), *once.known.accounts.values()]
    before = told(once)
    for one in told_before:
        once.card(one)

    assert told(once) == before


def test_the_worse_of_what_is_said_and_found() -> None:
    """An alarm that the analyst holds up stands though nothing is found now; one found now stands before it is said."""
    said = told(usual().says("auc", "quality", "alarm", 19))
    found = told(usual().day(20, worse=0.45).day(21, worse=0.45).days(22, 25, worse=0.45))

    assert [(one.metric, one.said) for one in said.todo if one.state == "alarm"] == [("auc", True)]
    assert {"auc", "rise_of_errors"} <= {one.metric for one in found.todo if not one.said}
    assert (said.state, found.state) == ("alarm", "alarm")


def test_what_was_said_long_ago_does_not_count() -> None:
    """An analyst that died days ago holds nothing up, and its age is shown."""
    found = told(usual().says("auc", "quality", "alarm", 10))

    assert [one.metric for one in found.todo] == []
    assert found.working.analyst is not None
    assert (found.working.analyst.behind, found.working.analyst.ago) == (9 * DAY, 120.0)
    assert "9 d of event time behind" in status_text(found)


def test_verdicts_of_another_version_do_not_count() -> None:
    """Only what is said of the version in force calls for somebody."""
    assert told(usual().says("auc", "quality", "alarm", 19, version="v0")).todo == ()


def test_the_open_request_is_about_the_version_in_force() -> None:
    """A request about a version that has been replaced is no longer open."""
    past = usual()
    for version, at in (("v0", MAY + 9), ("v1", MAY + 5), ("v1", MAY + 7)):
        asked = RetrainRequest(id=f"{version}{at}", pipeline="parcels", version=version, trigger="errors", block="b",
                               at=at, reasons=())  # fmt: skip
        past.known.take("retrain", MemoryMessage(Position("retrain", 0, at), b"", msgspec.json.encode(asked), time=1))

    request = told(past).request

    assert request is not None
    assert request.id == f"v1{MAY + 7}"
    assert "asked for at 2013-05-01 00:00 UTC because of errors" in status_text(told(past))


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_every_task_has_its_figures(task: str) -> None:
    """Four answers in order, on lines of at most 120 characters, with interval and n for every figure that is known."""
    found = told(Past(task).knows("v1").days(0, 20))
    text = status_text(found)

    order = [text.index(part) for part in ("Is it working?", "How good is it?", "What changed?", "What should I do?")]
    assert order == sorted(order)
    assert max(map(len, text.splitlines())) <= 120
    assert all(one.n and one.low is not None and one.high is not None for one in found.quality.figures)
    assert len(text.splitlines()) <= 50
    assert msgspec.json.decode(msgspec.json.encode(found), type=Status) == found


def test_names_from_outside_do_a_terminal_no_harm() -> None:
    """Escape sequences and line breaks in versions, reasons and features come out as words."""
    bad = "v\x1b[2J\n1"
    past = Past(sections=GOALS, names=("weight\x1b[31m", "stops\r", "carrier")).knows(bad).days(0, 20, bad)
    past.days(20, 22, bad, shift=2.0).says("auc", "quality", "alarm", 21, bad, reasons=("a\x07b\x1b]0;x\x07",))

    text = status_text(told(past))

    assert {c for c in text if not c.isprintable()} == {"\n"}
    assert "v\\x1b[2J\\x0a1" in text


def test_a_clock_beyond_the_calendar_is_drawn() -> None:
    """Event times of the year 300,000 are told in ms instead of failing."""
    past = Past(sections=GOALS).knows("v1").days(3_500_000, 3_500_003)

    assert "ms UTC" in status_text(told(past))


def test_every_trigger_has_advice() -> None:
    """Whatever the analyst may say, there is a word on what to do; also for one of a later version."""
    assert set(get_args(Trigger)) == set(ADVICE)
    assert "docs/monitor.md" in advice("something new").do


def test_what_calls_for_the_same_is_said_once() -> None:
    """Two figures that miss their goals are one thing to do."""
    found = told(usual().says("auc", "quality", "alarm", 19).says("log_loss", "quality", "alarm", 19))

    assert [[one.metric for one in group] for group in grouped(found.todo)] == [["auc", "log_loss"]]
    assert status_text(found).count("Quality is too low") == 1


def test_offsets_that_are_still_to_fold() -> None:
    """Beside each partition's watermark stands how much of `journal` it has not folded yet."""
    past = usual()
    found = status(past.picture(), 1_000, {0: past.offset + 4, 1: past.offset})

    assert [(one.partition, one.behind) for one in found.working.partitions] == [(0, 4 + 600), (1, 0)]
    assert "604 offsets still to fold" in status_text(found)
