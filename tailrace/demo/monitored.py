"""What the monitor knows while the demo runs, and at its end: from its topics, as `tailrace monitor status` does."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from services.monitor.analyst.panes import Pane
from services.monitor.analyst.quality import Measured, quality
from shared.core.errors import UserError
from shared.core.pipeline import PipelineSpec
from shared.runtime.settings import Settings
from tailrace.demo.page import with_loop
from tailrace.demo.summary import Monitored, Month, Summary
from tailrace.demo.words import day, shown
from tailrace.monitor.main import Monitor

if TYPE_CHECKING:
    from tailrace.monitor.picture import Picture

_CLOCKS = ("schedule", "labels")  # they ask whatever was found
TIMEOUT = 10.0  # s for the broker to answer


class Watched:
    """What `tailrace monitor status` would say of one pipeline, looked at again and again.

    Args:
        spec: the pipeline.
        settings: with the stack's addresses.
        state: the stack's state folder.
    """

    def __init__(self, spec: PipelineSpec, settings: Settings, state: Path) -> None:
        self._spec, self.figure = spec, shown(spec)[0]
        self._monitor = Monitor(spec, settings, lambda _: None, timeout=TIMEOUT, state=state)
        self._picture: Picture | None = None

    def look(self) -> None:
        """Read what is new, and draw the picture.

        Raises:
            Unavailable: the broker does not answer.
        """
        self._picture = self._monitor.picture()

    def write(self, to: Path, more: Summary) -> None:
        """Write the page, with what the loop did at its end.

        Raises:
            UserError: the file cannot be written.
            Unavailable: the broker does not answer.
        """
        page = with_loop(self._monitor.report(), more)
        try:
            to.parent.mkdir(parents=True, exist_ok=True)
            to.write_text(page, encoding="utf-8")
        except OSError as error:
            raise UserError(f"{to}: {error.strerror}", remedy="name another file with --report") from error

    def now(self) -> str:
        """The figure of the newest windows whose labels have had their time, in words; `?` while it is unknown."""
        front = None if self._picture is None else self._picture.front
        found = None if front is None or front.quality is None else front.quality
        if found is None:
            return "?"
        said = found.figures.get(self.figure)
        if said is None or said.value is None:
            return "?"
        return f"{said.value:.3f}{between(said)} to {day(found.until)}, {found.coverage or 0:.0%} labelled"

    def summary(self, report: Path | None) -> Monitored:
        """All of it, by month of event time; nothing was looked at yet: empty."""
        picture = self._picture
        if picture is None:
            return Monitored()
        months: dict[str, list[Pane]] = {}
        scored = [version for version, shadow in picture.heard.versions if not shadow]
        for pane in sorted((pane for one in scored for pane in picture.windows(one)), key=lambda pane: pane.window):
            months.setdefault(f"{datetime.fromtimestamp(pane.window / 1000, UTC):%b %Y}", []).append(pane)
        requests = sorted(picture.known.requests.values(), key=lambda one: (one.at, one.id))
        return Monitored(
            months={name: self._month(panes) for name, panes in months.items()},
            standing={
                one.verdict.metric: (one.verdict.verdict, *one.verdict.reasons[:1])
                for one in picture.standing
                if one.verdict.verdict != "ok"
            },
            requests=dict(Counter(one.trigger for one in requests)),
            alarms=[
                f"{day(one.at)}, {one.trigger}: {'; '.join(one.reasons[0].reasons[:1])}"
                for one in requests
                if one.trigger not in _CLOCKS
            ],
            report=None if report is None else str(report),
        )

    def _month(self, panes: Sequence[Pane]) -> Month:
        spec = self._spec
        answered = [msgspec.structs.replace(pane, version="") for pane in panes]  # by whichever version
        found = quality(answered, spec.task, len(spec.labels.classes), spec.monitoring.within)
        said = {name: found.figures.get(name, Measured(name, 0)) for name in shown(spec)}
        return Month(
            predictions=found.observed,
            labelled=found.labelled,
            figures={name: (one.value, one.low, one.high) for name, one in said.items()},
            versions=_counts(panes),
        )


def between(said: Measured) -> str:
    """An interval in brackets; nothing where none can be given."""
    return "" if said.low is None or said.high is None else f" [{said.low:.3f}, {said.high:.3f}]"


def _counts(panes: Sequence[Pane]) -> dict[str, int]:
    """Predictions by version, in the order in which they began."""
    found: dict[str, int] = {}
    for pane in panes:
        found[pane.version] = found.get(pane.version, 0) + pane.sums.n
    return found
