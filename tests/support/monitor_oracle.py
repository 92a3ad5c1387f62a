"""What the observer must come to, worked out again from its definitions: dictionaries and lists, none of its code.

It takes all entries of one partition at once. The watermark is worked out first; then each id is told by itself,
from its own entries; then each scorecard is counted from the labels that were in force in the end.
"""

import math
import struct
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

UNIT = 2**20
DELAY_EDGES = (0, 60, 300, 900, 3_600, 10_800, 21_600, 43_200, 86_400, 172_800, 345_600, 604_800, 1_209_600, 2_592_000)


@dataclass
class Settings:
    """Times in ms; `bounds` are a slice's rising bounds, `words` its words."""

    span: int
    horizon: int
    hold: int
    max_step: int
    task: str = "binary"
    classes: tuple[str, ...] = ("on_time", "late")
    positive: str = "late"
    within: float = 0.1
    words: dict[str, list[str]] = field(default_factory=dict)
    bounds: dict[str, list[float]] = field(default_factory=dict)
    edges: dict[str, list[float]] = field(default_factory=dict)
    score_edges: list[float] = field(default_factory=list)

    @property
    def grain(self) -> int:
        """What lives are rounded up to."""
        return max((self.span + self.horizon + self.hold) // 64, 1)


@dataclass
class Answer:
    """The whole picture at the end of the entries."""

    marks: dict[int, int] = field(default_factory=dict)  # offset -> watermark
    status: dict[int, str] = field(default_factory=dict)  # offset of a label -> its status
    accounts: dict[int, Counter[str]] = field(default_factory=dict)
    cards: dict[tuple[str, bool, int], dict[str, Any]] = field(default_factory=dict)
    outcomes: list[tuple[int, str, str, int, Any]] = field(default_factory=list)  # offset, status, id, revision, value
    blocks: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class Life:
    """One id from its first entry until it is forgotten."""

    until: int
    seen: dict[str, Any] | None = None
    shadows: list[dict[str, Any]] = field(default_factory=list)
    label: dict[str, Any] | None = None
    waiting: list[tuple[int, int, dict[str, Any]]] = field(default_factory=list)  # offset, reach, label
    repeats: Counter[str] = field(default_factory=Counter)


def recompute(entries: list[tuple[int, dict[str, Any]]], rules: Settings) -> Answer:
    """The picture after these (offset, entry) of one partition, in offset order."""
    answer, by_id, times = Answer(), defaultdict[str, list[tuple[int, dict[str, Any]]]](list), {}
    mark = -1
    for offset, entry in entries:
        kind = entry["type"]
        time = entry["time"] if kind == "tick" else entry["label"]["time"] if kind == "label" else _seen_time(entry)
        mark = time if mark < 0 else max(mark, min(time, mark + rules.max_step))
        answer.marks[offset], times[offset] = mark, time
        _count(answer, rules, offset, {"observation": "", "label": "labels", "tick": "ticks"}[kind])
        if kind != "tick":
            by_id[entry["label"]["id"] if kind == "label" else entry["prediction"]["id"]].append((offset, entry))
    verdicts: list[tuple[int, tuple[str, bool], int, int]] = []
    lives = [life for of in by_id.values() for life in _lives(of, rules, answer, verdicts)]
    for offset, status in answer.status.items():
        for what in status.split():
            _count(answer, rules, offset, what)
    for life in lives:
        _card(life, rules, answer)
    answer.outcomes.sort(key=lambda one: (one[0], one[3]))
    answer.blocks = _blocks(sorted(verdicts), rules, answer)
    return answer


def _seen_time(entry: dict[str, Any]) -> int:
    time: int = entry["prediction"]["event_time"]
    return time


def _count(answer: Answer, rules: Settings, offset: int, what: str) -> None:
    if what:
        answer.accounts.setdefault(answer.marks[offset] // rules.span * rules.span, Counter())[what] += 1


def _up(time: int, grain: int) -> int:
    return math.ceil(time / grain) * grain


def _lives(
    entries: list[tuple[int, dict[str, Any]]], rules: Settings, answer: Answer, verdicts: list[Any]
) -> list[Life]:
    lives: list[Life] = []
    for offset, entry in entries:
        mark = answer.marks[offset]
        life = lives[-1] if lives and mark <= lives[-1].until else None
        if life is not None:
            _give_up(life, mark, answer)
        if entry["type"] == "label":
            made = _take_label(life, offset, entry, mark, rules, answer, verdicts)
        else:
            made = _take_seen(life, offset, entry, mark, rules, answer, verdicts)
        if made is not None and made is not life:
            lives.append(made)
    end = max(answer.marks.values(), default=-1)
    for life in lives:
        _give_up(life, end, answer)
        for offset, _, _ in life.waiting:
            answer.status[offset] = "held"
    return lives


def _give_up(life: Life, mark: int, answer: Answer) -> None:
    for offset, reach, label in life.waiting:
        if mark > reach:
            _orphan(offset, label, answer)
    life.waiting = [one for one in life.waiting if mark <= one[1]]


def _orphan(offset: int, label: dict[str, Any], answer: Answer) -> None:
    answer.status[offset] = "orphaned" if label.get("at") else "orphaned astray"


def _take_seen(
    life: Life | None,
    offset: int,
    entry: dict[str, Any],
    mark: int,
    rules: Settings,
    answer: Answer,
    verdicts: list[Any],
) -> Life | None:
    time, version = _seen_time(entry), entry["prediction"]["version"]
    over = time // rules.span * rules.span + rules.span + rules.horizon
    seen = {**entry, "time": time, "counts": mark <= over}
    if entry.get("shadow"):
        _count(answer, rules, offset, "shadows")
        if life is None or life.seen is None:
            _count(answer, rules, offset, "stray")
        elif any(one["prediction"]["version"] == version for one in life.shadows):
            _count(answer, rules, offset, "repeated")
        else:
            seen["time"] = life.seen["time"]
            seen["counts"] = mark <= seen["time"] // rules.span * rules.span + rules.span + rules.horizon
            life.shadows.append(seen)
            if life.label is not None and seen["counts"]:
                verdicts.append((offset, (version, True), *_verdict(seen, life.label["value"], rules)))
        return life
    _count(answer, rules, offset, "observations")
    until = _up(max(time + rules.horizon + rules.hold, over), rules.grain)
    if life is None:
        if mark > until:
            _count(answer, rules, offset, "expired")
            return None
        life = Life(until)
    life.until = max(life.until, until)
    if life.seen is not None:
        _count(answer, rules, offset, "repeated")
        return life
    life.seen = seen
    waiting, life.waiting = life.waiting, []
    for at, _, label in waiting:
        _decide(life, label, at, offset, mark, rules, answer, verdicts)
    return life


def _take_label(
    life: Life | None,
    offset: int,
    entry: dict[str, Any],
    mark: int,
    rules: Settings,
    answer: Answer,
    verdicts: list[Any],
) -> Life | None:
    label = entry["label"]
    reach = min(label["time"], mark) + rules.hold
    if life is not None:
        life.until = max(life.until, _up(reach, rules.grain))
        if life.seen is not None:
            _decide(life, label, offset, offset, mark, rules, answer, verdicts)
            return life
    if not entry.get("sampled", True):
        answer.status[offset] = "unsampled"
        return life
    if mark > reach:
        _orphan(offset, label, answer)
        return life
    life = life or Life(_up(reach, rules.grain))
    top = life.waiting[-1][2] if life.waiting else None
    if top is not None and label.get("revision", 0) <= top.get("revision", 0):
        answer.status[offset] = _again(label, top)
    else:
        life.waiting.append((offset, reach, label))
    return life


def _again(label: dict[str, Any], known: dict[str, Any]) -> str:
    equal = label.get("revision", 0) == known.get("revision", 0)
    return "conflicting" if equal and label["value"] != known["value"] else "duplicate"


def _decide(
    life: Life, label: dict[str, Any], at: int, now: int, mark: int, rules: Settings, answer: Answer,
    verdicts: list[Any],
) -> None:  # fmt: skip
    """The status of the label of offset `at`, which meets its observation at offset `now`."""
    assert life.seen is not None
    if mark > life.seen["time"] + rules.horizon:
        answer.status[at] = "late"
        return
    if life.label is not None and label.get("revision", 0) <= life.label.get("revision", 0):
        answer.status[at] = _again(label, life.label)
        life.repeats[answer.status[at]] += 1
        return
    if life.label is None:
        answer.status[at] = "matched"
        for seen, shadow in [(life.seen, False), *((one, True) for one in life.shadows)]:
            verdict = _verdict(seen, label["value"], rules)
            verdicts.append((now, (seen["prediction"]["version"], shadow), *verdict))
    else:
        answer.status[at] = "corrected"
        for one in (life.seen, *life.shadows):
            one["corrections"] = one.get("corrections", 0) + 1
    life.label = label
    answer.outcomes.append((now, answer.status[at], label["id"], label.get("revision", 0), label["value"]))


def _fixed(value: float) -> int:
    return round(min(max(value, -(2.0**42)), 2.0**42) * UNIT)


def _verdict(seen: dict[str, Any], value: Any, rules: Settings) -> tuple[int, int]:
    prediction = seen["prediction"]
    if rules.task == "regression":
        off = abs(prediction["score"] - value)
        return int(off > rules.within * abs(value)), _fixed(off)
    if rules.task == "binary":
        share = prediction["score"] if value == rules.positive else 1 - prediction["score"]
    else:
        share = prediction["probabilities"][value]
    return int(prediction["label"] != value), _fixed(-math.log(max(share, 1 / UNIT)))


def _card(life: Life, rules: Settings, answer: Answer) -> None:
    champion = life.seen
    for seen, shadow in [(champion, False), *((one, True) for one in life.shadows)] if champion else ():
        assert seen is not None
        if not seen["counts"]:
            continue
        version = seen["prediction"]["version"]
        key = (version, shadow, seen["time"] // rules.span * rules.span)
        card = answer.cards.setdefault(key, defaultdict(int, tables=defaultdict(Counter)))
        _describe(card, seen, rules)
        if not shadow:
            for status, n in life.repeats.items():
                card[status] += n
        if life.label is None:
            continue
        card["corrected"] += seen.get("corrections", 0)
        _judge(card, seen, life.label, rules)
        if shadow and champion is not None:
            _pair(card, champion, seen, life.label["value"], rules)


def _describe(card: dict[str, Any], seen: dict[str, Any], rules: Settings) -> None:
    prediction, record, tables = seen["prediction"], seen["record"], card["tables"]
    card["n"] += 1
    if rules.task != "regression":
        tables["scores"][min(int(prediction["score"] * 40), 39)] += 1
    for flag in prediction.get("flags", ()):
        tables["flags"][flag] += 1
    for group, age in (prediction.get("ages") or {}).items():
        tables[f"group {group}"]["missing" if age is None else "found"] += 1
        tables[f"group {group}"]["age"] += 0 if age is None else round(age * 1_000)
    for name in _slices(record, rules):
        tables[f"slice {name}"]["n"] += 1
    for name, edges in rules.edges.items():
        value = record.get(name)
        if value is None:
            tables[f"feature {name}"]["missing"] += 1
        else:
            tables[f"feature {name}"][sum(_single(value) > edge for edge in edges)] += 1
    if rules.score_edges:
        tables["answers"][sum(_single(prediction["score"]) > edge for edge in rules.score_edges)] += 1


def _single(value: float) -> float:
    """As a 32-bit number, which is what a model sees and what a reference is of."""
    rounded: float = struct.unpack("f", struct.pack("f", value))[0]
    return rounded


def _slices(record: dict[str, Any], rules: Settings) -> list[str]:
    made = [f"{name}={record[name] if record.get(name) in words else '*'}" for name, words in rules.words.items()]
    for name, bounds in rules.bounds.items():
        value = record.get(name)
        if value is None:
            made.append(f"{name}=?")
        elif value >= bounds[-1]:
            made.append(f"{name}>={bounds[-1]:g}")
        else:
            made.append(f"{name}<{next(b for b in bounds if value < b):g}")
    return made


def _judge(card: dict[str, Any], seen: dict[str, Any], label: dict[str, Any], rules: Settings) -> None:
    prediction, value, tables = seen["prediction"], label["value"], card["tables"]
    score = prediction["score"]
    error, loss = _verdict(seen, value, rules)
    card["labelled"] += 1
    card["errors"] += error
    card["loss"] += loss
    delay = label["time"] - seen["time"]
    tables["delays"][sum(delay >= edge * 1_000 for edge in DELAY_EDGES)] += 1
    if rules.task == "regression":
        off, truth = score - value, value
        card["squared"] += _fixed(off * off)
        card["target"] += _fixed(value)
        card["target_squared"] += _fixed(value * value)
        if score > -1 and value > -1:
            card["squared_log"] += _fixed((math.log1p(score) - math.log1p(value)) ** 2)
        else:
            card["unlogged"] += 1
        tables["truths"][sum(_single(value) > edge for edge in rules.score_edges)] += 1
        answered = sum(_single(score) > edge for edge in rules.score_edges)
        tables["answer_labels"][answered] += 1
        tables["answer_losses"][answered] += loss
    else:
        truth = int(value == rules.positive if rules.task == "binary" else value == prediction["label"])
        tables["confusion"][rules.classes.index(value), rules.classes.index(prediction["label"])] += 1
        where = min(int(score * 40), 39)
        tables["labelled_scores"][where] += 1
        tables["hits"][where] += truth
        tables["score_sums"][where] += _fixed(score)
        if rules.task == "binary":
            card["brier"] += _fixed((score - truth) * (score - truth))
        else:
            shares = prediction["probabilities"]
            card["brier"] += _fixed(math.fsum((shares[c] - (c == value)) ** 2 for c in shares))
    bias = _fixed(score - truth) if rules.task == "regression" else _fixed(score) - truth * UNIT
    card["bias"] += bias
    for name in _slices(seen["record"], rules):
        for what, more in (("labelled", 1), ("errors", error), ("loss", loss), ("bias", bias)):
            tables[f"slice {name}"][what] += more


def _pair(card: dict[str, Any], champion: dict[str, Any], shadow: dict[str, Any], value: Any, rules: Settings) -> None:
    theirs, ours = _verdict(champion, value, rules), _verdict(shadow, value, rules)
    table = card["tables"][f"pair {champion['prediction']['version']}"]
    table["n"] += 1
    table["both_right"] += not theirs[0] and not ours[0]
    table["champion_only"] += not theirs[0] and bool(ours[0])
    table["shadow_only"] += bool(theirs[0]) and not ours[0]
    table["loss"] += ours[1] - theirs[1]
    table["loss_squared"] += (ours[1] - theirs[1]) ** 2 // UNIT


def _blocks(
    verdicts: list[tuple[int, tuple[str, bool], int, int]], rules: Settings, answer: Answer
) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    filling: dict[tuple[str, bool], list[tuple[int, int, int]]] = defaultdict(list)
    for offset, who, error, loss in verdicts:
        block = filling[who]
        if block and answer.marks[offset] > answer.marks[block[-1][0]] + rules.span + rules.horizon:
            block.clear()
        block.append((offset, error, loss))
        if len(block) == 25:
            first, last = (answer.marks[one[0]] for one in (block[0], block[-1]))
            errors, losses = sum(one[1] for one in block), sum(one[2] for one in block)
            made.append(
                {"who": who, "number": offset, "opened": first, "closed": last, "errors": errors, "loss": losses}
            )
            block.clear()
    return made
