"""What the demo adds to the monitor's page: trainings, rollouts, and the comparison."""

from collections.abc import Iterator

from tailrace.demo.summary import Summary
from tailrace.demo.words import at_offsets, day, name_of
from tailrace.monitor import html

_END = "\n</body>"


def with_loop(page: str, summary: Summary) -> str:
    """The page with a section on the closed loop before its end."""
    before, end, after = page.rpartition(_END)
    return before + "\n" + "\n".join(_section(summary)) + end + after if end else page


def _section(summary: Summary) -> Iterator[str]:
    loop = summary.loop
    if loop is None:
        return
    yield "<h2>What was retrained?</h2>"
    rows = [
        (day(one.at), one.trigger, one.state, one.version or "-", one.gate or "-", one.reason or "-")
        for one in loop.trainings
    ]
    head = ("event time", "asked by", "answer", "version", "the gate", "reason")
    yield html.table(head, rows, words=6) if rows else html.paragraph("nothing was")
    yield "<h2>Which version scored, and from where on?</h2>"
    changes = [
        (
            str(one.epoch), one.version, f"{one.mode} {one.share:.0%}" if one.mode == "canary" else one.mode,
            one.state, at_offsets(one.offsets) or "-", one.reason or "-",
        )
        for one in loop.changes
    ]  # fmt: skip
    about = "First offset of each partition of records that the epoch acts on. A shadow has none: nobody sees it."
    yield html.table(("epoch", "version", "how", "now", "partition:offset", "reason"), changes, words=6, caption=about)
    counts = [(version, f"{n:,}") for version, n in summary.versions.items()]
    yield html.table(("version", "predictions"), counts)
    if summary.contest:
        yield "<h2>What did it bring?</h2>"
        names = list(next(iter(summary.contest.values())).figures)
        told = [(name, *(f"{one.figures[n]:.4f}" for n in names)) for name, one in summary.contest.items()]
        some = next(iter(summary.contest.values())).records
        yield html.table(("", *map(name_of, names)), told, caption=f"On the same {some:,} records that have a label.")
    if summary.bad is not None:
        yield html.paragraph(
            f"Version {summary.bad.version} was trained on shuffled labels and forced past the gate: "
            f"{summary.bad.reason or 'it was not taken back'}."
        )
