"""The replay against a broker in memory: what goes out, what is waited for, what is remembered."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from services.ingest.replay.gates import FeatureGate, LagGate
from services.ingest.replay.pacing import Pacer
from services.ingest.replay.plan import Item, Kind, Selection
from services.ingest.replay.progress import ProgressFile, fingerprint
from services.ingest.replay.replayer import Replayer
from services.ingest.replay.terms import NO_GATES, NO_HOOKS, Gates, Hooks
from shared.core.errors import Unavailable, UserError
from shared.testing.clock import ManualClock
from tests.support.replay import HOUR, Broker


class Writer:
    """A consumer group on one topic of the fake broker; it commits when its test says so."""

    def __init__(self, broker: Broker, topic: str) -> None:
        self.broker, self.topic, self.done, self.down = broker, topic, 0, False

    def committed(self) -> dict[int, int]:
        """How far it is."""
        if self.down:
            raise Unavailable("no answer")
        return {0: self.done} if self.done else {}

    def ends(self) -> dict[int, int]:
        """What there is."""
        return {0: self.broker.count(self.topic)}

    def starts(self) -> dict[int, int]:
        """It begins at the beginning."""
        return {0: 0}

    def readable(self) -> dict[int, int]:
        """No transactions here."""
        return self.ends()


def plan(hours: int, each: int = 3) -> list[Item]:
    """Each hour: a feature, `each` records, and a label."""
    items = []
    for t in range(0, hours * HOUR, HOUR):
        items.append(Item(t, Kind.FEATURE, t, b"g:x", b"f%d" % t))
        items += [Item(t + n, Kind.RECORD, t + n, b"x", b"r%d" % (t + n)) for n in range(each)]
        items.append(Item(t + each, Kind.LABEL, t + each, b"x", b"l%d" % t))
    return items


def make(
    broker: Broker,
    *,
    gates: Gates = NO_GATES,
    hooks: Hooks = NO_HOOKS,
    progress: ProgressFile | None = None,
    pause: Callable[[float], bool] = lambda _: False,
    clock: ManualClock | None = None,
    trace_sample: float = 0.0,
) -> Replayer:
    """A replayer of the pipeline `shop`, as fast as it goes."""
    time = clock or ManualClock()
    return Replayer(
        "shop",
        broker,
        clock=time,
        pause=pause,
        pacer=Pacer(time),
        gates=gates,
        hooks=hooks,
        progress=progress,
        trace_sample=trace_sample,
        seed=1,
    )


def test_a_broken_broker_keeps_what_was_acknowledged(tmp_path: Path) -> None:
    """When the broker goes, the error says how to go on, and no more is remembered than was acknowledged."""
    file = ProgressFile(tmp_path, "shop", "c")
    with pytest.raises(UserError, match="--resume"):
        make(Broker(fails_after=7), progress=file).run(plan(5))
    assert file.load().records == 0


def test_an_interrupted_replay_goes_on_where_it_was(tmp_path: Path) -> None:
    """Stopped between any two chunks and resumed, each message is published once, in order."""
    whole = Broker()
    make(whole).run(plan(6))
    for turns in range(7):
        broker, file, left = Broker(), ProgressFile(tmp_path, "shop", f"{turns:016}"), [turns]

        def stop(_: float, left: list[int] = left) -> bool:
            left[0] -= 1
            return left[0] < 0

        first = make(broker, progress=file, pause=stop).run(plan(6))
        stored = file.load()
        seen = dict.fromkeys(Kind, 0)
        rest = [i for i in plan(6) if _count(seen, i) > stored.skip[i.kind]]
        make(broker, progress=file).run(rest, stored.skip)
        assert first.interrupted == (turns < 6)
        assert [m.value for m in broker.messages] == [m.value for m in whole.messages]
        assert file.load().done


def _count(seen: dict[Kind, int], item: Item) -> int:
    seen[item.kind] += 1
    return seen[item.kind]


def test_records_wait_for_their_features() -> None:
    """No record goes out before the feature writer has committed the features of its slice."""
    broker = Broker()
    writer, clock, seen = Writer(broker, "shop.features"), ManualClock(), []

    def pause(seconds: float) -> bool:
        clock.advance(seconds)
        if seconds:  # a wait: what is there now was sent before the features were written
            seen.append((broker.count("shop.features"), broker.count("shop.records"), writer.done))
            writer.done = broker.count("shop.features")
        return False

    make(broker, gates=Gates(features=FeatureGate(writer, "w")), pause=pause, clock=clock).run(plan(3))
    assert seen == [(1, 0, 0), (2, 3, 1), (3, 6, 2)]


def test_a_missing_feature_writer_is_said() -> None:
    """The wait is bounded, and names the group and the way out."""
    broker, clock = Broker(), ManualClock()
    gates = Gates(features=FeatureGate(Writer(broker, "shop.features"), "tailrace.shop.features"))

    def pause(seconds: float) -> bool:
        clock.advance(seconds)
        return False

    with pytest.raises(UserError, match=r"tailrace\.shop\.features has 1 feature.*--no-wait-features"):
        make(broker, gates=gates, pause=pause, clock=clock).run(plan(3))
    assert broker.count("shop.records") == 0


def test_with_a_lead_only_needed_features_are_waited_for() -> None:
    """Features of the day ahead are out, but a record waits only for those that it may look up."""
    broker = Broker()
    gate = FeatureGate(writer := Writer(broker, "shop.features"), "w")
    writer.done = 2
    lead = 24 * HOUR
    ahead = [Item(h * HOUR - lead, Kind.FEATURE, h * HOUR, b"g:x", b"f") for h in range(48)]
    records = [Item(h * HOUR, Kind.RECORD, h * HOUR, b"x", b"r") for h in (0, 1)]
    items = sorted([*ahead, *records], key=lambda i: (i.due, i.kind))
    clock = ManualClock()
    make(broker, gates=Gates(features=gate), clock=clock).run(items)
    assert broker.count("shop.features") == 48
    assert broker.count("shop.records") == 2


def test_features_that_are_not_acknowledged_are_asked_for() -> None:
    """A fast replay reaches a record before the broker has answered for its features: it waits, it does not pass by."""
    broker = Broker()
    gate = FeatureGate(writer := Writer(broker, "shop.features"), "w")
    lead = 2 * HOUR
    items = [Item(0, Kind.FEATURE, lead, b"g:x", b"f"), Item(lead, Kind.RECORD, lead, b"x", b"r")]
    clock, turns = ManualClock(), []

    def pause(seconds: float) -> bool:
        clock.advance(seconds)
        if seconds:
            turns.append(broker.count("shop.records"))
            writer.done = 1
        return False

    make(broker, gates=Gates(features=gate), pause=pause, clock=clock).run(items)
    assert turns == [0]
    assert broker.count("shop.records") == 1


def test_the_lag_stays_below_its_limit() -> None:
    """However slow the scorer, no more than the limit and one chunk wait for it; an outage of the answer only waits."""
    broker = Broker()
    scorer, worst = Writer(broker, "shop.records"), 0

    def pause(seconds: float) -> bool:
        nonlocal worst
        worst = max(worst, broker.count("shop.records") - scorer.done)
        if seconds:
            scorer.down = not scorer.down
            scorer.done += 2
        return False

    make(broker, gates=Gates(lag=LagGate(scorer, "s", 10)), pause=pause).run(plan(40))
    assert broker.count("shop.records") == 120
    assert worst <= 10 + 3


def test_extras_follow_their_record() -> None:
    """What a hook mixes in goes to records behind the n-th record under its key, and is counted apart."""
    broker = Broker()
    told: list[int] = []
    hooks = Hooks(on_sent=told.append, extra=lambda n: b"junk" if n == 2 else None)
    report = make(broker, hooks=hooks).run(plan(1))
    assert broker.values("shop.records") == [b"r0", b"r1", b"junk", b"r2"]
    assert (report.records, report.extras, report.labels, told) == (3, 1, 1, [4])


@pytest.mark.parametrize(("share", "flag"), [(0.0, b"00"), (1.0, b"01")])
def test_each_record_has_a_trace_context(share: float, flag: bytes) -> None:
    """Records carry a W3C traceparent with the sampled flag by the rate; features and labels carry none."""
    broker = Broker()
    make(broker, trace_sample=share).run(plan(2))
    contexts = [m.headers[0][1] or b"" for m in broker.messages if m.headers]
    assert len(contexts) == broker.count("shop.records") == len(set(contexts))
    assert all(re.fullmatch(rb"00-[0-9a-f]{32}-[0-9a-f]{16}-" + flag, c) for c in contexts)


def test_other_files_or_options_are_another_replay(tmp_path: Path) -> None:
    """Progress belongs to files and selection: a changed byte or bound starts anew."""
    path = tmp_path / "a.csv"
    path.write_text("1")
    codes = [fingerprint((path, None), Selection()), fingerprint((path, None), Selection(limit=5))]
    path.write_text("2")
    codes.append(fingerprint((path, None), Selection()))
    assert len(set(codes)) == 3
    ProgressFile(tmp_path, "shop", codes[0]).save({Kind.RECORD: 5, Kind.FEATURE: 0, Kind.LABEL: 0}, 1)
    assert [ProgressFile(tmp_path, "shop", c).load().records for c in codes] == [5, 0, 0]


def test_a_broken_progress_file_is_named(tmp_path: Path) -> None:
    """It is not taken for a fresh start, which would send everything again."""
    (tmp_path / "shop-c.json").write_text("{")
    with pytest.raises(UserError, match=r"shop-c\.json.*remove it"):
        ProgressFile(tmp_path, "shop", "c").load()
