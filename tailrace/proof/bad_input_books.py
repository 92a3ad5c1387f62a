"""The books of `verify bad-input`: what was sent, position by position, against what came of it."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec
from confluent_kafka import Message

from shared.core import reasons
from shared.core.deadletter import REASON, SOURCE

Position = tuple[int, int]  # partition and offset in `records`
RULE_OF_THREE = 3.0
PREDICTION = "prediction"
NAMED = reasons.ALL - {reasons.POISON, reasons.OTHER}  # refused by name; `poison` is a step that broke
_EXAMPLES = 5


class _Said(msgspec.Struct, frozen=True):
    at: Position
    score: float | None


@dataclass(frozen=True, slots=True)
class Ended:
    """How the run ended: restarts of the worker, whether its process is still the first, s from sending to the last."""

    restarts: int
    same_process: bool
    seconds: float
    wall_s: float
    cluster_id: str


class Kind(msgspec.Struct, frozen=True):
    """What came of the mutants that had one kind of mutation, perhaps among others."""

    predictions: int
    dead_letters: int


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What a run came to.

    `violations` counts records without an outcome, with more than one, outcomes of no record, letters with `poison` or
    an unknown reason, scores that are no number, restarts of the worker. `bound95` is the share of such records that is
    excluded with 95 % confidence, None where one was found. `seconds` is from the first sent to the last outcome.
    """

    ok: bool
    pipeline: str
    n: int
    seed: int
    predictions: int
    dead_letters: dict[str, int]
    unaccounted: int
    restarts: int
    same_process: bool
    violations: dict[str, int]
    bound95: float | None
    mutations: dict[str, Kind]
    examples: list[str]
    seconds: float
    cluster_id: str
    wall_s: float


class Books:
    """Takes in what was acknowledged and what was read back, in any order; never raises over an odd message."""

    def __init__(self) -> None:
        self._sent: dict[Position, tuple[str, ...]] = {}
        self._outcomes: dict[Position, list[str]] = {}
        self._strange = self._not_finite = 0
        self._decode = msgspec.json.Decoder(_Said).decode

    @property
    def open(self) -> int:
        """How many records have no outcome yet."""
        return len(self._sent) - sum(1 for at in self._outcomes if at in self._sent)

    def sent(self, at: Position, kinds: tuple[str, ...]) -> None:
        """The broker has acknowledged a mutant at this position."""
        self._sent[at] = kinds

    def read(self, topic: str, message: Message) -> None:
        """A message of `predictions` or `records.dlq`; others say nothing here."""
        if topic == "predictions":
            self.prediction(message.value() or b"")
        elif topic == "records.dlq":
            headers = dict(message.headers() or [])
            self.letter(_text(headers.get(SOURCE)), _text(headers.get(REASON)))

    def prediction(self, value: bytes) -> None:
        """One prediction."""
        try:
            said = self._decode(value)
        except (msgspec.DecodeError, UnicodeDecodeError):
            self._strange += 1
            return
        self._not_finite += said.score is None or not math.isfinite(said.score)
        self._outcomes.setdefault(said.at, []).append(PREDICTION)

    def letter(self, source: str, reason: str) -> None:
        """One dead letter, from its headers."""
        partition, _, offset = source.rpartition("[")[2].partition("]@")
        if not (partition.isdigit() and offset.isdigit()):
            self._strange += 1
            return
        self._outcomes.setdefault((int(partition), int(offset)), []).append(reason)

    def close(self, pipeline: str, seed: int, ended: Ended) -> Verdict:
        """Add up."""
        letters = Counter(said for one in self._outcomes.values() for said in one if said != PREDICTION)
        missing = [at for at in self._sent if at not in self._outcomes]
        poisoned = [at for at, said in self._outcomes.items() if not NAMED.issuperset(set(said) - {PREDICTION})]
        violations = {
            "unaccounted": len(missing),
            "doubled": sum(len(said) - 1 for said in self._outcomes.values()),
            "stray": self._strange + sum(1 for at in self._outcomes if at not in self._sent),
            "poison": letters[reasons.POISON],
            "unknown_reason": sum(n for reason, n in letters.items() if reason not in reasons.ALL - {reasons.OTHER}),
            "not_finite": self._not_finite,
            "restarts": ended.restarts + (not ended.same_process),
        }
        n, ok = len(self._sent), not any(violations.values())
        return Verdict(
            ok=ok and n > 0,
            pipeline=pipeline,
            n=n,
            seed=seed,
            predictions=sum(said.count(PREDICTION) for said in self._outcomes.values()),
            dead_letters=dict(letters.most_common()),
            unaccounted=len(missing),
            restarts=ended.restarts,
            same_process=ended.same_process,
            violations=violations,
            bound95=RULE_OF_THREE / n if ok and n else None,
            mutations=self._by_kind(),
            examples=[*self._examples("no outcome", missing), *self._examples("no proper reason", poisoned)],
            seconds=round(ended.seconds, 1),
            cluster_id=ended.cluster_id,
            wall_s=ended.wall_s,
        )

    def _by_kind(self) -> dict[str, Kind]:
        scored, dead = Counter[str](), Counter[str]()
        for at, kinds in self._sent.items():
            outcome = self._outcomes.get(at)
            if outcome is not None:
                (scored if outcome[0] == PREDICTION else dead).update(set(kinds))
        return {kind: Kind(scored[kind], dead[kind]) for kind in sorted(scored.keys() | dead.keys())}

    def _examples(self, what: str, places: Sequence[Position]) -> Iterable[str]:
        for partition, offset in sorted(places)[:_EXAMPLES]:
            kinds = "+".join(self._sent.get((partition, offset), ("not sent by us",)))
            yield f"records[{partition}]@{offset}: {what} ({kinds})"


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else ""


def words(v: Verdict) -> str:
    """The verdict for a person."""
    dead = sum(v.dead_letters.values())
    process = "the same process from first to last" if v.same_process else "NOT the process that began"
    lines = [
        f"{v.pipeline} · seed {v.seed}",
        f"{v.n:,} mutated records = {v.predictions:,} predictions + {dead:,} dead letters",
        "reasons            " + ", ".join(f"{reason} {n:,}" for reason, n in v.dead_letters.items()),
        "violations         " + ", ".join(f"{name} {n:,}" for name, n in v.violations.items()),
        f"worker             {v.restarts} restarts, {process}",
        f"time               {v.seconds:,.1f} s from the first sent to the last outcome",
    ]
    if v.bound95 is not None:
        lines.append(f"95 % bound         fewer than {v.bound95:.2g} of such records")
    lines += [f"for example        {one}" for one in v.examples]
    again = f"{'ok' if v.ok else 'BROKEN'} after {v.wall_s:,.0f} s · repeat with --records {v.n} --seed {v.seed}"
    return "\n".join([*lines, again])
