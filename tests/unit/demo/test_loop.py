"""What the demo says of the closed loop: each event once, whatever comes how often."""

import msgspec

from shared.core.gate import Compared, GateFigures
from shared.core.monitor_records import RetrainRequest, Verdict
from shared.core.records import Application, BundleRef, Rollout
from shared.core.retraining import Book, State, Training
from tailrace.demo.loop import Loop, News
from tailrace.demo.summary import Bad, Change, Contest, Retrained, Summary, loop_lines, story_lines
from tailrace.demo.summary import Loop as Told

DAY = 86_400_000
FIRST = 1_360_281_600_000  # 8 Feb 2013
FIGURES = "loss 0.4800 beside the champion's 0.5000, difference -0.0200 ± 0.0040, on 2,640 labels of 3 days"


def encoded(*values: object) -> list[bytes]:
    """As on the topics."""
    return [msgspec.json.encode(value) for value in values]


def ref(version: str) -> BundleRef:
    """A bundle."""
    return BundleRef(version, "file:///x", "d")


def request(name: str = "r") -> RetrainRequest:
    """What the clock asks."""
    said = Verdict(version="1", metric="schedule", trigger="schedule", verdict="ok", n=0, window=(0, 0), since=0,
                   at=FIRST, reasons=("7 days",))  # fmt: skip
    return RetrainRequest(id=name, pipeline="shop", version="1", trigger="schedule", block="0", at=FIRST,
                          reasons=(said,))  # fmt: skip


def training(state: State, *, judged: bool = True, passed: bool = True) -> Training:
    """A training in a state, with the gate's figures once it has been judged."""
    whole = Compared(labels=2640, blocks=3, champion=0.5, challenger=0.48, difference=-0.02, error=0.004, limit=0.008)
    gate = GateFigures(passed=passed, judged=judged, mode="not_worse", errors=2.0, reasons=(), whole=whole)
    over = state in ("passed", "announced", "done")
    return Training(
        id="r", request="r", trigger="schedule", state=state, at=FIRST, attempts=1, champion="1",
        gate=None if state == "running" else gate, challenger=ref("2") if over else None,
        reason="" if passed else "worse",
    )  # fmt: skip


def loop() -> tuple[Loop, list[str]]:
    """A loop over two partitions, and what it says."""
    said: list[str] = []
    return Loop(2, said.append), said


def test_what_cannot_be_read_is_left_out() -> None:
    """Whose topic it is reports it; the demo goes on."""
    one, said = loop()
    one.take(News(retrain=[b"no"], trainings=[b"{}"], models=[b"\xff"], rollouts=[b"[]"]))
    assert said == []


def test_a_refusal_of_the_gate_is_said_with_its_figures_and_reason() -> None:
    """Nothing comes into force, and the summary has the answer."""
    one, said = loop()
    one.take(News(trainings=encoded(training("refused", passed=False))))
    assert said == [f"the gate: refused; {FIGURES} (worse)"]
    assert [(t.state, t.version, t.reason) for t in one.trained()] == [("refused", None, "worse")]
    assert one.changes() == ()


def test_each_event_is_said_once() -> None:
    """From a request to the offsets at which the new version begins; the same values again say nothing."""
    one, said = loop()
    first = Rollout("shop", 1, ref("1"), "active")
    swap = Rollout("shop", 3, ref("2"), "active", plan="trial")
    began = [Application(p, 3, 100 + p, "barrier", "2", 3) for p in (0, 1)]
    news = (
        News(models=encoded(first)),
        News(retrain=encoded(request())),
        News(trainings=encoded(Book(), training("running"))),
        News(trainings=encoded(training("passed"))),
        News(trainings=encoded(training("announced"), training("done"))),
        News(models=encoded(swap), rollouts=encoded(began[0])),
        News(rollouts=encoded(began[1])),
    )
    for part in (*news, *news):
        one.take(part)
    assert said == [
        "08 Feb: retraining is asked for (schedule: 7 days)",
        "08 Feb: training on the whole window, to be judged beside version 1",
        f"the gate: passed; {FIGURES}",
        "version 2 is registered, and the challenger",
        "epoch 3: version 2 scores",
        "epoch 3 acts from 0:100 1:101 (partition:offset)",
    ]
    assert one.in_force() == "2"
    assert one.changes()[-1].offsets == {0: 100, 1: 101}


def test_a_clock_that_strikes_again_is_no_news() -> None:
    """Only its first request is said; one that evidence asks for is said each time."""
    one, said = loop()
    alarm = msgspec.structs.replace(request("c"), trigger="loss")
    one.take(News(retrain=encoded(request("a"), request("b"), alarm)))
    assert said == [
        "08 Feb: retraining is asked for (schedule: 7 days)",
        "08 Feb: retraining is asked for (loss: 7 days)",
    ]
    assert len(one.requests) == 3


def test_a_canary_that_is_taken_back_leaves_the_champion_in_force() -> None:
    """Its epochs are told as taken back, with the reason, and the champion's is the newest one that acts."""
    one, said = loop()
    canary = Rollout("shop", 2, ref("1"), "active", "", 0, ref("2"), "canary", 0.25, "trial")
    ready = Rollout("shop", 4, ref("2"), "revoked")
    one.take(News(models=encoded(Rollout("shop", 1, ref("1"), "active"), canary)))
    one.take(News(models=encoded(msgspec.structs.replace(canary, state="revoked", reason="rolled back (quality)"))))
    one.take(News(models=encoded(ready), rollouts=encoded(Application(0, 1, 0, "first", "1", 1))))
    assert [change.epoch for change in one.changes()] == [1, 2]  # epoch 4 was only announced
    assert said == [
        "epoch 2: version 2 scores 25% of the keys",
        "version 2 is taken back: rolled back (quality)",
    ]
    assert one.in_force() == "1"


def test_a_shadow_that_went_on_is_over_and_not_taken_back() -> None:
    """Its epoch ends when the canary begins; both stand in the list."""
    one, said = loop()
    shadow = Rollout("shop", 2, ref("1"), "active", "", 0, ref("2"), "shadow", 0.0, "trial")
    canary = Rollout("shop", 3, ref("1"), "active", "", 0, ref("2"), "canary", 0.25, "trial")
    over = msgspec.structs.replace(shadow, state="revoked", reason="the shadow is over")
    one.take(News(models=encoded(Rollout("shop", 1, ref("1"), "active"), shadow)))
    one.take(News(models=encoded(canary, over)))
    assert said == [
        "epoch 2: version 2 scores beside version 1, as its shadow",
        "epoch 3: version 2 scores 25% of the keys",
    ]
    assert [(change.epoch, change.state) for change in one.changes()] == [(2, "over"), (3, "active")]


def summary(**more: object) -> Summary:
    """A summary of nothing but what is asked for."""
    given = {
        "ok": True, "pipeline": "shop", "records": 0, "predictions": 0, "dead_letters": {}, "lost": 0, "doubled": 0,
        "stray": 0, "degraded": 0, "latency_ms": {}, "restarts": 0, "recovery_s": None, "records_per_s": 0.0,
        "versions": {"1": 1_000, "2": 3_000}, "model": {}, "quality": {}, "labelled": 0, "intervals": None,
        "monitor": None, "wall_s": 0.0, "seed": 7,
    }  # fmt: skip
    return Summary(**{**given, **more})  # type: ignore[arg-type] # fields of all types


def test_the_summary_says_where_each_version_began() -> None:
    """A line a training and an epoch, and how many records each version scored."""
    told = Told(
        trainings=(Retrained(id="r", trigger="schedule", kind="clock", at=FIRST, state="done", reason="", version="2",
                             gate="better"),),
        changes=(
            Change(epoch=1, version="1", mode="champion", share=0.0, state="active", reason="", offsets={0: 0}),
            Change(epoch=3, version="2", mode="canary", share=0.25, state="revoked", reason="worse", offsets={0: 9}),
        ),
        in_force="1",
        waited=20.4,
    )  # fmt: skip
    assert loop_lines(summary(loop=told)) == [
        "  the closed loop (event time waited 20 s for it):",
        "    08 Feb  schedule: done, version 2; better",
        "    epoch 1: version 1  champion  from 0:0",
        "    epoch 3: version 2  canary 25%  from 0:9  taken back: worse",
        "    scored by version 1 1,000, version 2 3,000; in force at the end: version 1",
    ]
    assert loop_lines(summary()) == []


def test_the_whole_story_compares_and_says_what_became_of_the_bad_one() -> None:
    """Three ways side by side on the same records; and the reason of the rollback."""
    three = {
        "static": Contest(records=900, refits=0, figures={"auc": 0.6}, later_records=300, later={"auc": 0.5}),
        "closed loop": Contest(records=900, refits=None, figures={"auc": 0.7}, later_records=300, later={"auc": 0.8}),
    }
    bad = Bad(version="5", taken_back=True, reason="rolled back (quality)", scored=0, in_force="4")
    said = story_lines(summary(contest=three, bad=bad))
    assert said[:6] == [
        "  on the same 900 records that have a label:",
        "    static       AUC 0.6000  (0 refits)",
        "    closed loop  AUC 0.7000",
        "  on 300 of them, which the loop answered with a version of its own:",
        "    static       AUC 0.5000",
        "    closed loop  AUC 0.8000",
    ]
    assert said[6].startswith(
        "    static: the first version's own bundle, scored offline; closed loop: what was committed"
    )
    assert said[7].startswith(
        "  version 5, trained on shuffled labels and forced past the gate, was taken back by itself: "
    )
    assert said[7].endswith("(quality) (it answered 0 records; in force: version 4)")
