"""One answer, explained to a person."""

from datetime import UTC, datetime
from typing import Any

from shared.runtime.redact import clean_text
from tailrace.why.terms import Contributions, Input, Model, Why

_LONGEST = 80  # characters of a value


def why_text(why: Why) -> str:
    """The whole report; no byte of a producer reaches the terminal as it is."""
    said = why.prediction
    lines = [
        f"{_place(why)}  id {_word(said.id)}  key {_word(said.key)}  {_time(said.event_time)}",
        _line("answer", _answer(why)),
        _line("label", _label(why)),
        _line("again", _again(why)),
        *_model(why.model),
        *(_line("shadow", f"version {s.version}: {_word(s.label)}  {s.score!r}") for s in why.shadows),
        "",
        *_inputs(why.inputs, why.contributions),
        *(_sum(why.contributions) if why.contributions else ()),
        *(["", *(f"unknown: {clean_text(line)}" for line in why.unknown)] if why.unknown else ()),
    ]
    return "\n".join(lines)


def _place(why: Why) -> str:
    return f"{why.pipeline}.records[{why.prediction.at[0]}]@{why.prediction.at[1]}"


def _answer(why: Why) -> str:
    said = why.prediction
    parts = [f"{_word(said.label)}  {said.score!r}" if isinstance(said.label, str) else repr(said.score)]
    if said.interval:
        parts.append(f"interval {said.interval[0]:g} to {said.interval[1]:g}")
    if said.probabilities:
        parts.append(", ".join(f"{name} {share:.4f}" for name, share in said.probabilities.items()))
    if said.flags:
        parts.append("flags " + ", ".join(said.flags))
    return "  ".join(parts)


def _label(why: Why) -> str:
    label = why.label
    if label is None:
        return "none so far"
    earlier = f" ({label.earlier} earlier)" if label.earlier else ""
    where = f"labels[{label.at[0]}]@{label.at[1]}"
    return f"{_word(label.value)}  {_time(label.time)}  revision {label.revision}{earlier}  {where}"


def _again(why: Why) -> str:
    again = why.again
    if again is None:
        return "could not be scored again"
    if not again.equal:
        return f"scored again it is {_word(again.label)}  {again.score!r}: NOT the same"
    batch = f", as one of {again.batch} records at once" if again.batch > 1 else ""
    return f"scored again from this observation alone it is the same to the last digit{batch}"


def _model(model: Model) -> list[str]:
    known = [model.runtime, f"run {model.run_id}" if model.run_id else ""]
    lines = [_line("version", "  ".join(filter(None, (model.version, f"epoch {model.epoch}", *known))))]
    lines.append(_line("digest", model.digest))
    if model.trained_from is not None and model.trained_until is not None:
        lines.append(_line("trained", f"on records of {_time(model.trained_from)} to {_time(model.trained_until)}"))
    data = model.data
    if data.records:
        lines.append(_line("", f"{data.records:,} of them, fingerprint {_word(data.fingerprint)}"))
    lines += [_line("", f"offsets of {_word(w)}: {a:,} to {z:,}") for w, (a, z) in sorted(data.offsets.items())]
    return lines


def _inputs(inputs: tuple[Input, ...], parts: Contributions | None) -> list[str]:
    head = ["feature", "value", "the model saw", "from", "age", "contribution" if parts else "importance"]
    rows = [head]
    for one in inputs:
        last = one.importance if parts is None else parts.parts.get(one.feature)
        form = "" if last is None else f"{last:+.6g}" if parts else f"{last:.4g}"
        age = "" if one.age is None else f"{one.age:g} s"
        rows.append([one.feature, _word(one.given), _word(one.seen), one.source, age, form])
    if all(row[2] == row[1] for row in rows[1:]):
        rows = [[*row[:2], *row[3:]] for row in rows]
    return _table([row if any(r[-1] for r in rows[1:]) else row[:-1] for row in rows])


def _sum(parts: Contributions) -> list[str]:
    said = f"base {parts.base:.6g} and the contributions make {parts.total:.9g} ({parts.scale})"
    if parts.exact:
        return ["", _line("sum", f"{said}: what the model says")]
    return ["", _line("sum", f"{said}, but the model says {parts.raw:.9g}: NOT the same")]


def _table(rows: list[list[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _line(name: str, text: str) -> str:
    return f"{name:8} {text}"


def _word(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.9g}" if isinstance(value, float) else clean_text(str(value), _LONGEST)


def _time(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S") + " UTC"
