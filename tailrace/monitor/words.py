"""How figures, moments and spans are said, on a terminal and on a page; what comes from outside is made harmless."""

from datetime import UTC, datetime

from shared.core.quality import FIGURES

UNKNOWN = "unknown"
SIGNS = {"ok": "✓", "warn": "!", "alarm": "!!", None: "?"}
"""Beside every colour stands a sign."""
_NAMES = {
    "auc": "AUC", "macro_f1": "macro F1", "rmse": "RMSE", "mae": "MAE", "rmsle": "RMSLE", "ece": "ECE",
    "brier": "Brier score", "rise_of_errors": "rise of errors", "rise_of_loss": "rise of the loss",
}  # fmt: skip
_LONG = {"d": 86_400_000, "h": 3_600_000, "min": 60_000, "s": 1_000}
_TEXT = 120  # characters: a name is cut there
_MANY, _LITTLE = 1_000, 0.001


def plain(text: str, most: int = _TEXT) -> str:
    """A text from outside as one short line that does a terminal no harm."""
    harmless = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)
    return harmless if len(harmless) <= most else harmless[: most - 3] + "..."


def name_of(figure: str) -> str:
    """A figure's name for people; of one that is not known its own, made harmless."""
    if figure.startswith("within_"):
        return f"within {plain(figure.removeprefix('within_'))} %"
    if figure.startswith("estimated_"):
        return f"expected {name_of(figure.removeprefix('estimated_'))}"
    return _NAMES.get(figure, plain(figure).replace("_", " "))


def meaning_of(figure: str) -> str:
    """What a figure is, in a few words; empty where its name says it."""
    return FIGURES[figure].meaning if figure in FIGURES else ""


def is_share(figure: str) -> bool:
    """Whether a figure lies between 0 and 1."""
    return figure not in {"log_loss", "rmse", "mae", "rmsle"}


def number(value: float | None) -> str:
    """Four digits that matter, or all before the point; `unknown` for none."""
    if value is None:
        return UNKNOWN
    if value == 0 or _LITTLE <= abs(value) < _MANY:
        return f"{value:.4g}"
    return f"{value:,.0f}" if _MANY <= abs(value) < _MANY**4 else f"{value:.3g}"


def between(low: float | None, high: float | None) -> str:
    """An interval of 95 %."""
    return "no interval" if low is None or high is None else f"{number(low)} to {number(high)}"


def percent(share: float | None) -> str:
    """A share; `unknown` for none."""
    return UNKNOWN if share is None else f"{share * 100:.1f} %"


def moment(ms: int) -> str:
    """A moment of event time, UTC; milliseconds where it is beyond the calendar (a clock that jumped)."""
    try:
        return datetime.fromtimestamp(ms / 1_000, UTC).strftime("%Y-%m-%d %H:%M")
    except (OverflowError, ValueError, OSError):
        return f"{ms} ms"


def span(ms: float) -> str:
    """A length of time by its largest unit: `3.5 d`, `2 h`, `40 min`."""
    size = abs(ms)
    unit = next((name for name, one in _LONG.items() if size >= one), "s")
    n = ms / _LONG[unit]
    return f"{n:.2g} {unit}" if abs(n) < 10 else f"{n:,.0f} {unit}"  # noqa: PLR2004 - from here on, whole ones


def count(n: int, what: str) -> str:
    """`1 label`, `1,204 labels`."""
    return f"{n:,} {what}{'' if n == 1 else 's'}"
