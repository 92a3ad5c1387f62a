"""How a search shows how far it is: one line that changes on a terminal, a plain line every few seconds elsewhere."""

from types import TracebackType
from typing import TYPE_CHECKING, Self, TextIO

if TYPE_CHECKING:
    from services.retrainer.search import Step

_PLAIN_EVERY_S = 5.0
_LIVE_EVERY_S = 0.2
_CLEAR = "\r\x1b[2K"


def line_of(step: "Step") -> str:
    """One line: fits done and in all, rate, time left, the best so far."""
    rate = step.done / step.seconds if step.seconds > 0 else 0.0
    parts = [f"{step.done:,}/{step.total:,} fits", f"{rate:.1f}/s", f"{_span(step.left)} left"]
    if step.best is not None:
        best = ", ".join(f"{name}={value}" for name, value in step.best.parameters.items())
        parts.append(f"best {step.metric} {step.best.mean:.4g} ({best})")
    return "  ".join(parts)


def _span(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole} s" if whole < 100 else f"{whole // 60} min {whole % 60:02} s"  # noqa: PLR2004 - reads well


class SearchLine:
    """Writes a search's progress to a stream, and clears its line at the end.

    Args:
        stream: standard error.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._live, self._shown = stream, stream.isatty(), -_PLAIN_EVERY_S

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live and self._shown >= 0:
            self._write(_CLEAR)

    def show(self, step: "Step") -> None:
        """Show how far it is; the last fit always, the others now and then."""
        wait = _LIVE_EVERY_S if self._live else _PLAIN_EVERY_S
        if step.seconds - self._shown < wait and step.done < step.total:
            return
        self._shown = step.seconds
        self._write(_CLEAR + line_of(step) if self._live else line_of(step) + "\n")
        if self._live and step.done == step.total:
            self._write("\n")

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()
