"""A shadow scores what the champion was given, writes beside it, and disturbs nobody."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from services.scorer.shadow.step import ShadowStep
from services.scorer.shadow.target import journalled
from services.scorer.speeds import Speeds
from services.scorer.step import Scoring
from shared.core.bundle import Column
from shared.core.codec import RecordCodec
from shared.core.errors import Unavailable
from shared.core.features import FeatureBuilder
from shared.core.pipeline import PipelineSpec
from shared.core.ports import Part, Result
from shared.core.records import Observation, Position
from shared.core.scoring import Version
from shared.testing.clock import ManualClock
from shared.testing.log import MemoryMessage
from tests.support.bundles import START
from tests.support.spec import make_spec
from tests.support.steps import BREAKS_AT, NAN_AT, A, B, Model, by_topic, make_step, messages_of, part_of

COLUMNS = [Column("weight", "numeric"), Column("stops", "numeric"), Column("carrier", "category", ("B", "C"))]


def target_of(spec: PipelineSpec) -> Scoring:
    """A challenger with columns of its own: of what the pipeline has."""
    version = Version(9, "2", B.digest, spec.labels.classes, 0.5)
    columns = [column for column in COLUMNS if column.name in {feature.name for feature in spec.features}]
    return Scoring(version, FeatureBuilder(spec, RecordCodec(journalled(spec)), columns), Model("2"))


def shadow_of(spec: PipelineSpec, target: Scoring | None) -> ShadowStep:
    """The step of a shadow worker."""
    decode = msgspec.json.Decoder(RecordCodec(journalled(spec)).row_type).decode
    return ShadowStep(spec, decode, lambda: target, "journal", Speeds(ManualClock()), ManualClock())


def observed(result: Result, start: int = 0) -> list[MemoryMessage]:
    """The journal as a champion wrote it."""
    rows = [
        (v, k, h, p)
        for block in result.blocks
        if block.topic == "journal"
        for v, k, h, p in zip(block.values, block.keys, block.headers or (), block.partitions or (), strict=True)
    ]
    return [MemoryMessage(Position("journal", p, start + i), k, v, h, START + 5) for i, (v, k, h, p) in enumerate(rows)]


def journal_part(messages: Sequence[MemoryMessage]) -> Part:
    """A batch of the journal."""
    return Part(messages, [m.headers() for m in messages], 0)


def counted(result: Result) -> Counter[tuple[str, str]]:
    """Counts by metric and version."""
    found: Counter[tuple[str, str]] = Counter()
    for count in result.counts:
        found[count.metric, count.labels["version"]] += count.value
    return found


@pytest.mark.parametrize("hashed", [[], ["depot"]])
def test_a_shadow_gives_what_its_version_would_have_given_as_champion(hashed: list[str]) -> None:
    """The same scores, record by record, from the journal alone, under the observation's partition and key."""
    alone: dict[str, Any] = {"lookups": {}, "features": [{"name": "weight"}, {"name": "stops"}]} if hashed else {}
    spec = make_spec(privacy={"drop": ["phone"], "hash": hashed}, **alone)
    messages = messages_of(700)
    as_champion = {
        row[0].prediction.at: row
        for row in by_topic(make_step(spec, {7: B})(part_of(messages, 7)), "journal", Observation)
    }
    journal = observed(make_step(spec, {7: A})(part_of(messages, 7)))
    result = shadow_of(spec, target_of(spec))(journal_part(journal))
    got = by_topic(result, "journal", Observation)
    assert [(p, k, h) for _, k, h, p in got] == [(m.partition(), m.key(), m.headers()) for m in journal]
    for one, *_ in got:
        other = as_champion[one.prediction.at][0]
        flags = tuple(f for f in one.prediction.flags if f != "unseen")
        assert msgspec.structs.replace(one.prediction, epoch=7, flags=flags) == other.prediction
        assert (bytes(one.record), one.lookups, one.logged) == (bytes(other.record), other.lookups, other.logged)
        assert (one.shadow, other.shadow, one.prediction.epoch, one.digest) == (True, False, 9, B.digest)
        assert ("unseen" in one.prediction.flags) is (not hashed)  # of its own columns: A is no carrier it knows
    assert counted(result) == {("tailrace_shadow_observations_total", "2"): 700}
    assert list(result.rejects) == []


def test_a_shadow_ignores_what_is_no_champions_observation() -> None:
    """Labels, ticks, other shadows, its own, its own version's as champion, nonsense: nothing comes of them."""
    spec = make_spec()
    step = shadow_of(spec, target_of(spec))
    (good,) = observed(make_step(spec, {7: A})(part_of(messages_of(1), 7)))
    others = [
        b'{"type":"tick","time":1,"v":1}', b'{"type":"label","label":{"id":"a"},"at":[0,0]}', b"", b"?", None,
        (good.value() or b"").replace(b'"shadow":false', b'"shadow":true'),
        (good.value() or b"").replace(b'"shadow":false', b'"shadow": true'),
        (good.value() or b"").replace(b'"version":"1"', b'"version":"2"'),
        (good.value() or b"").replace(b'"weight":0.0', b'"weight":"x"'),
        (good.value() or b"")[:-9],
    ]  # fmt: skip
    messages = [MemoryMessage(Position("journal", 0, i), b"k", value, None, START) for i, value in enumerate(others)]
    assert step(journal_part(messages)) == Result()
    assert len(by_topic(step(journal_part([*messages, good])), "journal", Observation)) == 1


def test_without_a_challenger_it_only_moves_on() -> None:
    """Nothing is taken apart, whatever stands there."""
    part = journal_part([MemoryMessage(Position("journal", 0, 0), b"k", b"\xff", None, START)])
    assert shadow_of(make_spec(), None)(part) == Result()


def test_what_a_challenger_cannot_score_is_counted_and_no_dead_letter() -> None:
    """No number, a break, a value too large: the others have their pair, in order."""
    spec = make_spec()
    odd = {"at3": NAN_AT, "at4": BREAKS_AT, "at5": BREAKS_AT, "at6": 1e30}
    journal = observed(make_step(spec, {7: A})(part_of(messages_of(50, **odd), 7)))
    result = shadow_of(spec, target_of(spec))(journal_part(journal))
    got = [one.prediction.at[1] for one, *_ in by_topic(result, "journal", Observation)]
    assert got == [i for i in range(50) if i not in {3, 4, 5}]
    assert counted(result) == {
        ("tailrace_shadow_observations_total", "2"): 47, ("tailrace_version_rejects_total", "2"): 3,
    }  # fmt: skip
    assert list(result.rejects) == []


def test_a_challenger_that_always_breaks_costs_nothing_but_its_pairs() -> None:
    """Every record is counted against it, and the shadow moves on."""
    spec = make_spec()
    odd = {f"at{i}": BREAKS_AT for i in range(20)}
    journal = observed(make_step(spec, {7: A})(part_of(messages_of(20, **odd), 7)))
    result = shadow_of(spec, target_of(spec))(journal_part(journal))
    assert (list(result.blocks), list(result.rejects)) == ([], [])
    assert counted(result) == {("tailrace_version_rejects_total", "2"): 20}


class Slow(Model):
    """A hundredth of a second a record, by the test's clock."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__("2")
        self._clock = clock

    def predict(self, matrix: Any) -> Any:
        """See `Runtime`."""
        self._clock.advance(len(matrix) / 100)
        return super().predict(matrix)


def test_a_challenger_that_is_far_too_slow_is_passed_over_in_time() -> None:
    """Fifty seconds of work: ten are spent on it, its speed is told, and the worker stays in its group."""
    spec, clock = make_spec(), ManualClock()
    speeds = Speeds(clock)
    decode = msgspec.json.Decoder(RecordCodec(journalled(spec)).row_type).decode
    target = replace(target_of(spec), runtime=Slow(clock))
    journal = observed(make_step(spec, {7: A})(part_of(messages_of(5_000), 7)))
    begun = clock.monotonic()
    result = ShadowStep(spec, decode, lambda: target, "journal", speeds, clock)(journal_part(journal))
    got = [one.prediction.at[1] for one, *_ in by_topic(result, "journal", Observation)]
    assert got == list(range(1_500))
    assert counted(result) == {("tailrace_shadow_observations_total", "2"): 1_500}
    assert clock.monotonic() - begun == pytest.approx(15.0)
    assert speeds.told()["2"] == pytest.approx(10_000)


def test_a_model_that_is_on_its_way_is_waited_for() -> None:
    """What waits in the journal can still be scored: the loop comes again, and passes nothing over."""

    def target() -> Scoring:
        raise Unavailable("version 2 is being loaded")

    step = ShadowStep(make_spec(), lambda _: None, target, "journal", Speeds(ManualClock()), ManualClock())
    with pytest.raises(Unavailable):
        step(journal_part([]))


def test_a_bug_of_ours_costs_pairs_and_nothing_else() -> None:
    """Whatever breaks in the shadow, it writes nothing and goes on."""
    spec = make_spec()
    broken = replace(target_of(spec), builder=FeatureBuilder(make_spec("regression"), RecordCodec(spec), COLUMNS))
    journal = observed(make_step(spec, {7: A})(part_of(messages_of(5), 7)))
    broken_rows = ShadowStep(spec, lambda _: object(), lambda: broken, "journal", Speeds(ManualClock()), ManualClock())
    assert broken_rows(journal_part(journal)) == Result()
