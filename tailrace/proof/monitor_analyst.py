"""What the analyst published, held against the same figures from raw predictions as of the same offsets."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import msgspec

from tailrace.proof.checks import Finding
from tailrace.recompute.then import Figures, Then

CLOSE = 1e-9
_TOLD = 4


@dataclass(frozen=True, slots=True)
class Claim:
    """Figures that the analyst said of a version's windows in [since, until) ms, as of these offsets of `journal`.

    `counts` are how many predictions and labels it had; None where it did not say.
    """

    what: str
    version: str
    since: int
    until: int
    offsets: tuple[tuple[int, int], ...]
    figures: dict[str, tuple[float | None, int]]
    counts: tuple[int, int] | None = None


@dataclass(slots=True)
class Said:
    """All that stands on `verdicts` and `retrain`."""

    verdicts: list[Claim] = field(default_factory=list)
    windows: list[Claim] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)


def said(verdicts: Iterable[bytes], requests: Iterable[bytes]) -> Said:
    """Read both topics: figures of quality that have a value, windows as known then, and requests."""
    found = Said(requests=[msgspec.json.decode(value) for value in requests])
    for value in verdicts:
        told: dict[str, Any] = msgspec.json.decode(value)
        if told["type"] == "window":
            found.windows.append(_window(told))
        elif told["trigger"] == "quality" and told.get("value") is not None:
            since, until = told["window"]
            figures = {told["metric"]: (told["value"], told["n"])}
            name = f"{told['metric']} of {told['version']}, said at {told['at']}"
            found.verdicts.append(Claim(name, told["version"], since, until, _offsets(told), figures))
    return found


def figures(found: Said, then: Then) -> Finding:
    """Every figure that was ever said is what the predictions and labels before its offsets come to."""
    told = [] if found.windows else ["it said nothing of any window"]
    known: dict[Any, Figures] = {}
    for claim in (*found.verdicts, *found.windows):
        key = (claim.version, claim.since, claim.until, claim.offsets)
        if key not in known:
            known[key] = then.figures(claim.version, claim.since, claim.until, dict(claim.offsets))
        told += _differing(claim, known[key])
    return Finding(len(told), tuple(told[:_TOLD]))


def requests(found: Said, cooldown: int) -> Finding:
    """At most one request a cool-down (ms of event time) by machine, and what comes again has the same id."""
    told: list[str] = []
    of: dict[str, dict[str, Any]] = {}
    for one in found.requests:
        first = of.setdefault(one["id"], one)
        if (first["version"], first["trigger"], first["block"]) != (one["version"], one["trigger"], one["block"]):
            told.append(f"{one['id']} is two requests")
    times = sorted(one["at"] for one in of.values())
    told += [f"requests at {a} and {b}" for a, b in pairwise(times) if b - a < cooldown]
    return Finding(len(told), tuple(told[:_TOLD]))


def _window(told: Mapping[str, Any]) -> Claim:
    since = told["window"]
    figures = {name: (one[0], one[3]) for name, one in told["figures"].items()}
    name = f"{told['version']} window {since}, as known at {told['at']}"
    counts = (told["observed"], told["labelled"])
    return Claim(name, told["version"], since, since + told["span"], _offsets(told), figures, counts)


def _offsets(told: Mapping[str, Any]) -> tuple[tuple[int, int], ...]:
    """Of `journal`, by partition."""
    return tuple((int(name.partition("/")[2]), offset) for name, offset in sorted(told["offsets"].items())
                 if name.startswith("journal/"))  # fmt: skip


def _differing(claim: Claim, mine: Figures) -> Iterator[str]:
    if claim.counts not in (None, (mine.observed, mine.labelled)):
        yield f"{claim.what}: {claim.counts} predictions and labels, recomputed {(mine.observed, mine.labelled)}"
    for name, (value, n) in claim.figures.items():
        own = mine.values.get(name)
        if n != mine.labelled or not _same(value, own):
            yield f"{claim.what}: {name} {value} of {n}, recomputed {own} of {mine.labelled}"


def _same(a: float | None, b: float | None) -> bool:
    return a is b or (a is not None and b is not None and math.isclose(a, b, rel_tol=CLOSE, abs_tol=CLOSE))
