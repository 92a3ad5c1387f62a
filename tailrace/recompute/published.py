"""What the observer has published, as plain figures under the names of `tailrace.recompute.figures`."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from tailrace.recompute.figures import Card, Figures

_COUNTS = ("counts", "missing", "unseen")
_PARTS = {
    "answers": _COUNTS,
    "truths": _COUNTS,
    "features": _COUNTS,
    "groups": ("found", "missing", "age"),
    "slices": ("n", "labelled", "errors", "loss", "bias"),
    "pairs": ("n", "both_right", "champion_only", "shadow_only", "loss", "loss_squared"),
}
_NAMED = ("features", "groups", "slices", "pairs")


@dataclass(slots=True)
class Published:
    """The last values of one partition as of an offset of `journal`, and whether each is closed and complete."""

    cards: dict[Card, Figures] = field(default_factory=dict)
    accounts: dict[int, Figures] = field(default_factory=dict)
    closed: dict[Card | int, bool] = field(default_factory=dict)
    incomplete: set[Card | int] = field(default_factory=set)
    blocks: list[dict[str, Any]] = field(default_factory=list)
    outcomes: list[tuple[str, str, int, Any, tuple[int, int]]] = field(default_factory=list)


def take_cards(of: Mapping[int, Published], values: Iterable[tuple[bytes, bytes]], ends: Mapping[int, int]) -> None:
    """Read `scorecards`: of each key the last value of what had been folded up to the partition's end.

    A version's cards of several sample rates are added up: the journal does not say by which rate it was sampled.

    Args:
        of: by partition; filled.
        values: (key, value) in offset order.
        ends: the offset of `journal` that each partition is looked at as of.
    """
    last: dict[bytes, dict[str, Any]] = {}
    for key, value in values:
        told: dict[str, Any] = msgspec.json.decode(value)
        if told["offset"] <= ends.get(told["partition"], -1):
            last[key] = told
    for told in last.values():
        part, window, figures = of[told["partition"]], told["window"], flat(told.get("sums", {}))
        name: Card | int = window
        if told["type"] == "account":
            part.accounts[window] = figures
        else:
            name = card = (told["version"], told.get("shadow", False), window)
            part.cards[card] = _plus(part.cards.get(card), figures)
        part.closed[name] = told.get("closed", False)
        if not told.get("complete", True):
            part.incomplete.add(name)


def take_blocks(of: Mapping[int, Published], values: Iterable[bytes], ends: Mapping[int, int]) -> None:
    """Read `errors`: the blocks that were full by the partition's end."""
    for value in values:
        block: dict[str, Any] = msgspec.json.decode(value)
        if block["number"] < ends.get(block["partition"], -1):
            kept = {name: n for name, n in block.items() if name not in {"v", "partition"}}
            of[block["partition"]].blocks.append({"shadow": False, **kept})


def take_outcomes(of: Mapping[int, Published], values: Iterable[tuple[int, bytes]]) -> None:
    """Read `outcomes`, (partition, value) in offset order: also those of later entries than the partition's end."""
    for partition, value in values:
        told: dict[str, Any] = msgspec.json.decode(value)
        label = told["label"]
        where: tuple[int, int] = tuple(told["at"])
        one = (told["status"], label["id"], label.get("revision", 0), label["value"], where)
        of[partition].outcomes.append(one)


def flat(sums: Mapping[str, Any]) -> Figures:
    """The sums of a scorecard or account by the path of each number; without zeros."""
    made: Figures = {}
    for name, value in sums.items():
        if name in _NAMED:
            for which, part in value.items():
                _parts(made, f"{name}.{which}", _PARTS[name], part)
        elif name in _PARTS:
            _parts(made, name, _PARTS[name], value)
        elif isinstance(value, dict):
            made |= {f"{name}.{which}": n for which, n in value.items()}
        else:
            _put(made, name, value)
    return {name: n for name, n in made.items() if n}


def _parts(made: Figures, path: str, names: tuple[str, ...], values: list[Any]) -> None:
    for name, value in zip(names, values, strict=False):  # what a later schema appends is not known here
        _put(made, f"{path}.{name}", value)


def _put(made: Figures, path: str, value: Any) -> None:
    if isinstance(value, list):
        made.update({f"{path}[{i}]": n for i, n in enumerate(value)})
    else:
        made[path] = value


def _plus(known: Figures | None, more: Figures) -> Figures:
    return more if known is None else {name: known.get(name, 0) + more.get(name, 0) for name in known.keys() | more}
