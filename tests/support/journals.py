"""Journals made by dice: observations, shadows, and labels of every kind, as the bytes that stand in the log."""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from services.monitor.observer import rules
from services.monitor.observer.describe import Profile
from services.monitor.observer.fold import PartitionFold, Told
from services.monitor.observer.rules import Rules
from shared.core.bundle import Column
from shared.core.monitor_records import AccountSums, ErrorBlock, Scorecard, Sums
from shared.core.pipeline import PipelineSpec
from shared.core.pipeline_file import decode
from shared.core.reference import FeatureProfile, Reference
from shared.core.store import Store
from tests.support.monitor_oracle import Answer, Settings
from tests.support.spec import make_tree

T0 = 1_767_225_600_000
HOUR, DAY = 3_600_000, 86_400_000
CLASSES = {"binary": ("on_time", "late"), "multiclass": ("early", "on_time", "late"), "regression": ()}
EDGES, SCORE_EDGES = (1.0, 2.0, 4.0), (0.25, 0.5, 0.75)
WORDS, BOUNDS = {"carrier": ["A", "B"]}, {"weight": [1.0, 5.0]}
Entry = dict[str, Any]


def make(task: str = "binary", **monitoring: Any) -> PipelineSpec:
    """The pipeline of parcels, sliced by carrier and weight; labels count for six hours and wait for three."""
    tree = make_tree(task) | {"monitoring": {"window": "2h", "hold": "3h", "slices": {**WORDS, **BOUNDS}} | monitoring}
    return decode(tree, "parcels")


def settings_of(spec: PipelineSpec) -> Settings:
    """The same for the oracle."""
    monitoring = spec.monitoring
    span = round(monitoring.window * 1_000)
    step = span // 8 if monitoring.max_step is None else round(monitoring.max_step * 1_000)
    return Settings(
        span, round(spec.labels.horizon * 1_000), round(monitoring.hold * 1_000), step, spec.task,
        tuple(spec.labels.classes), spec.labels.positive, monitoring.within, WORDS, BOUNDS,
        {"weight": list(EDGES)}, list(SCORE_EDGES),
    )  # fmt: skip


def profile(version: str) -> Profile | None:
    """The reference of every version that begins with a v."""
    columns = (
        Column("weight", "numeric"), Column("stops", "numeric"), Column("carrier", "category", ("A", "B", "C")),
        Column("wind", "numeric"),
    )  # fmt: skip
    features = {
        "weight": FeatureProfile(EDGES, counts=(1, 1, 1, 1)),
        "carrier": FeatureProfile(words=("B", "A"), counts=(5, 3, 1)),
        "wind": FeatureProfile((10.0,), counts=(1, 1)),
    }
    reference = Reference(9, features, FeatureProfile(SCORE_EDGES, counts=(1, 1, 1, 1)), (0.5, 0.5))
    return Profile(columns, reference) if version.startswith("v") else None


def rules_of(spec: PipelineSpec) -> Rules:
    """What the fold goes by; everything is sampled."""
    return replace(rules.rules_of(spec, profile), rate=rules.MILLION)


def observation(spec: PipelineSpec, identity: str, time: int, dice: Random, **changes: Any) -> Entry:
    """One observation; `version` and `shadow` may be given."""
    record = {"id": identity, "depot": "D1", "at": time, "weight": dice.lognormvariate(0.5, 1.0)}
    record |= {"carrier": dice.choice("ABBCZ")} | ({"stops": dice.randrange(9)} if dice.random() < 0.7 else {})
    score = dice.random() * (10 if spec.task == "regression" else 1)
    classes, shares = CLASSES[spec.task], None
    label: Any = score
    if spec.task == "binary":
        label = classes[score >= 0.5]
    elif spec.task == "multiclass":
        parts = [dice.random() + 1e-9 for _ in classes]
        shares = {c: part / sum(parts) for c, part in zip(classes, parts, strict=True)}
        label = max(shares, key=lambda c: shares[c])
        score = shares[label]
    wind = dice.random() < 0.8
    prediction = {
        "v": 1, "id": identity, "key": "D1", "at": [0, 1], "event_time": time, "score": score, "label": label,
        "version": changes.get("version", "v1"), "digest": "d", "epoch": 1, "probabilities": shares,
        "flags": ["degraded"] * (not wind), "ages": {"weather": dice.random() * 100 if wind else None},
    }  # fmt: skip
    return {
        "type": "observation", "v": 1, "prediction": prediction, "record": record,
        "lookups": {"weather": {"wind": dice.random() * 20} if wind else None}, "digest": "dd", "logged": time,
        "shadow": changes.get("shadow", False),
    }  # fmt: skip


def label(identity: str, value: Any, time: int, revision: int = 0, *, located: bool = True, **more: Any) -> Entry:
    """One label as the router copies it."""
    body = {"id": identity, "value": value, "time": time, "revision": revision} | ({"at": [0, 1]} if located else {})
    return {"type": "label", "label": body, "at": [0, time % 1_000_003], "logged": time} | more


def value_of(spec: PipelineSpec, dice: Random) -> Any:
    """What came true."""
    return dice.random() * 10 - 1.5 if spec.task == "regression" else dice.choice(CLASSES[spec.task])


@dataclass
class Mix:
    """What may happen to a record, each with its chance."""

    never: float = 0.2
    before: float = 0.1
    corrected: float = 0.15
    repeated: float = 0.15
    conflicting: float = 0.1
    twice: float = 0.05
    shadowed: float = 0.3
    unsampled: float = 0.05
    foreign: float = 0.05
    far: float = 0.1
    longest: int = 9 * HOUR
    every: int = 4 * 60_000


def journal(spec: PipelineSpec, dice: Random, records: int, mix: Mix | None = None) -> list[Entry]:
    """The entries of one partition, roughly in the order of event time."""
    mix, due = mix or Mix(), list[tuple[float, Entry]]()
    for i in range(records):
        _one(spec, dice, f"r{i}", T0 + i * mix.every + dice.randrange(mix.every), mix, due)
    due.sort(key=lambda pair: pair[0])
    return [entry for _, entry in due]


def _one(spec: PipelineSpec, dice: Random, name: str, time: int, mix: Mix, due: list[tuple[float, Entry]]) -> None:
    def happens(chance: float) -> bool:
        return dice.random() < chance

    arrives = time + dice.randrange(mix.every * 4)
    sampled, version = not happens(mix.unsampled), dice.choice(["v1", "v1", "v2", "x"])
    if sampled and not happens(mix.foreign):
        due.append((arrives, observation(spec, name, time, dice, version=version)))
        for _ in range(happens(mix.twice)):
            at = time + dice.choice([0, 0, 30 * HOUR])
            due.append((at + dice.randrange(20 * HOUR), observation(spec, name, at, dice, version="v2")))
        for _ in range(happens(mix.shadowed) + happens(mix.shadowed / 3)):
            shadow = observation(spec, name, time, dice, version=dice.choice(["v3", "v4"]), shadow=True)
            due.append((arrives + 1 + dice.randrange(mix.longest), shadow))
    if not happens(mix.never):
        due += [(entry["label"]["time"], entry) for entry in _labels(spec, dice, name, time, mix, sampled=sampled)]
    if happens(0.02):
        due.append((arrives, {"type": "tick", "time": time + dice.choice([0, HOUR, 400 * DAY]), "v": 1}))


def _labels(spec: PipelineSpec, dice: Random, name: str, time: int, mix: Mix, *, sampled: bool) -> list[Entry]:
    def happens(chance: float) -> bool:
        return dice.random() < chance

    def delay() -> int:
        return dice.randrange(30 * DAY if happens(mix.far) else mix.longest)

    more: dict[str, Any] = {} if sampled else {"sampled": False}
    revision, at = dice.choice([0, 0, 0, 3]), time + delay()
    if happens(mix.before):
        at = time - dice.randrange(5 * HOUR)
    value = value_of(spec, dice)
    made = [label(name, value, at, revision, located=happens(0.7), **more)]
    for chance, step in ((mix.corrected, 1), (mix.repeated, 0), (mix.conflicting, 0), (mix.repeated / 3, -1)):
        if happens(chance):
            other = value if chance == mix.repeated else value_of(spec, dice)
            later = at + delay() // 3
            made.append(label(name, other, later, max(revision + step, 0), located=happens(0.7), **more))
    return made


def as_bytes(entries: Sequence[Entry]) -> list[bytes]:
    """As they stand in the log."""
    return [json.dumps(entry).encode() for entry in entries]


@dataclass
class Published:
    """What a reader of the topics knows: of scorecards and accounts the last value of each key."""

    cards: dict[tuple[str, bool, int], Scorecard] = field(default_factory=dict)
    accounts: dict[int, AccountSums] = field(default_factory=dict)
    outcomes: list[tuple[str, str, bytes, Any, tuple[int, int]]] = field(default_factory=list)
    blocks: list[Any] = field(default_factory=list)
    closed: list[Any] = field(default_factory=list)

    def take(self, told: Told) -> None:
        """Read what was told."""
        for card in told.cards:
            self.cards[card.version, card.shadow, card.window] = card
            self.closed += [(card.version, card.shadow, card.window)] * card.closed
        for account in told.accounts:
            self.accounts[account.window] = account.sums
            self.closed += [account.window] * account.closed
        self.outcomes += told.findings.outcomes
        self.blocks += told.findings.blocks


def fold_all(
    spec: PipelineSpec, values: Sequence[bytes], store: Store, dice: Random, largest: int = 50
) -> tuple[PartitionFold, Published]:
    """Fold everything, in batches of any size."""
    fold, published, at = PartitionFold(0, rules_of(spec), store), Published(), 0
    fold.begin(0, -1)
    while at < len(values):
        n = dice.randrange(1, largest + 1)
        chunk = values[at : at + n]
        published.take(fold.take(chunk, range(at, at + len(chunk))))
        fold.settle()
        at += len(chunk)
    return fold, published


def picture(sums: Sums, classes: Sequence[str]) -> dict[str, Any]:
    """Sums in the oracle's form: plain numbers, and tables without zeros."""
    tables: dict[str, Mapping[Any, int]] = {
        name: _table(getattr(sums, name)) for name in (
            "delays", "scores", "labelled_scores", "hits", "score_sums", "answer_labels", "answer_losses",
        )
    }  # fmt: skip
    k = len(classes)
    tables["confusion"] = {(i // k, i % k): n for i, n in _table(sums.confusion).items()}
    tables["flags"] = sums.flags
    for name, counts in {"answers": sums.answers, "truths": sums.truths}.items():
        tables[name] = _table(counts.counts)
    if "weight" in sums.features:
        weight = sums.features["weight"]
        tables["feature weight"] = _table(weight.counts) | {"missing": weight.missing}
    for kind, of in (("group", sums.groups), ("slice", sums.slices), ("pair", sums.pairs)):
        for name, one in of.items():
            tables[f"{kind} {name}"] = {f: getattr(one, f) for f in one.__struct_fields__}
    numbers = {
        name: getattr(sums, name)
        for name in ("n", "labelled", "corrected", "duplicate", "conflicting", "errors", "loss", "brier", "squared",
                     "squared_log", "unlogged", "bias", "target", "target_squared")
    }  # fmt: skip
    return plain(numbers | {"tables": tables})


def plain(card: Mapping[str, Any]) -> dict[str, Any]:
    """Without zeros and empty tables, which nobody tells apart from nothing."""
    tables = {name: {k: n for k, n in table.items() if n} for name, table in card["tables"].items()}
    numbers = {name: n for name, n in card.items() if name != "tables" and n}
    return numbers | {"tables": {name: table for name, table in tables.items() if table}}


def account_picture(sums: AccountSums) -> Counter[str]:
    """An account without zeros."""
    return Counter({f: n for f in sums.__struct_fields__ if (n := getattr(sums, f))})


def block_picture(block: ErrorBlock) -> dict[str, Any]:
    """A block in the oracle's form."""
    assert block.n == 25
    return {
        "who": (block.version, block.shadow), "number": block.number, "opened": block.opened, "closed": block.closed,
        "errors": block.errors, "loss": block.loss,
    }  # fmt: skip


def expected(answer: Answer, known: Callable[[str], bool] = lambda version: version.startswith("v")) -> dict[str, Any]:
    """The oracle's answer in the same form. A version that is not known has no counts over a reference's bins."""
    cards = {}
    for key, card in answer.cards.items():
        if not known(key[0]):
            for name in ("answers", "truths", "answer_labels", "answer_losses", "feature weight"):
                card["tables"].pop(name, None)
        cards[key] = plain(card)
    return {
        "cards": cards,
        "accounts": answer.accounts,
        "outcomes": [one[1:] for one in answer.outcomes],
        "blocks": sorted(answer.blocks, key=lambda b: (b["number"], b["who"])),
    }


def _table(counts: Sequence[int]) -> dict[int, int]:
    return {i: n for i, n in enumerate(counts) if n}
