"""Spans of event time in which labels or features were not what they seemed: what was measured there asks for nothing.

Faults of records (schema, unit jump) and figures of quality and features are placed by when records happened; faults of
labels and rises of errors by when labels came, up to a delay later. So a span reaches into the other clock by that.
"""

from collections.abc import Iterable, Iterator

from services.monitor.analyst.findings import Finding

Span = tuple[str, int, int]
OF_RECORDS = frozenset[str](("schema", "unit_jump"))
OF_LABELS = frozenset[str](("label_outage", "conflicts", "flipped"))
SPOILING = OF_RECORDS | OF_LABELS
_BY_LABELS = frozenset[str](("errors", "loss"))
_REMEMBERED = 64


def with_faults(spans: tuple[Span, ...], findings: Iterable[Finding]) -> tuple[Span, ...]:
    """The spans with those of new faults; spans of one fault that touch are one."""
    for finding in findings:
        if finding.trigger not in SPOILING or finding.level != "alarm":
            continue
        first, last = finding.window
        near = [s for s in spans if s[0] == finding.trigger and s[1] <= last and first <= s[2]]
        whole = (finding.trigger, min([first, *(s[1] for s in near)]), max([last, *(s[2] for s in near)]))
        if near != [whole]:
            spans = (*(s for s in spans if s not in near), whole)[-_REMEMBERED:]
    return spans


def faults(spans: Iterable[Span], trigger: str, window: tuple[int, int], delay: int) -> Iterator[str]:
    """The faults that spoiled what a trigger measured in a window.

    Args:
        spans: spoiled ones.
        trigger: of the finding.
        window: of event time [from, until) in ms.
        delay: how late labels may come (ms).
    """
    for fault, first, last in spans:
        before = delay if fault in OF_LABELS and trigger not in _BY_LABELS else 0
        after = delay if fault in OF_RECORDS and trigger in _BY_LABELS else 0
        if window[0] < max(last, first + 1) + after and first - before < max(window[1], window[0] + 1):
            yield fault
