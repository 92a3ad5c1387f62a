"""How the doctor's findings are shown."""

from collections.abc import Sequence

import msgspec

from tailrace.doctor.facts import Finding

_MARKS = {True: "ok", False: "!!"}


class Report(msgspec.Struct, frozen=True):
    """What `--json` prints. `ok`: every check could be made, and found nothing."""

    ok: bool
    pipeline: str
    findings: list[Finding]

    @classmethod
    def of(cls, findings: Sequence[Finding], pipeline: str) -> "Report":
        """The report of these findings."""
        return cls(all(finding.ok for finding in findings), pipeline, list(findings))


def text(report: Report) -> str:
    """The report for a person: a line a check; under each fault its cause and the next command."""
    lines: list[str] = []
    for finding in report.findings:
        if finding.ok is None:
            continue
        lines.append(f"{_MARKS[finding.ok]} {finding.check:<13} {finding.what}")
        if finding.cause and not finding.ok:
            lines.append(f"{'':<17}because {finding.cause}")
        if finding.next_command:
            lines.append(f"{'':<17}next: {finding.next_command}")
    lines += _unknown(report.findings)
    faults = sum(finding.ok is False for finding in report.findings)
    unknown = sum(finding.ok is None for finding in report.findings)
    lines.append(
        f"{faults} fault(s) found, {unknown} check(s) could not be made" if faults or unknown else "all is well"
    )
    return "\n".join(lines)


def _unknown(findings: Sequence[Finding]) -> list[str]:
    """What could not be looked at, a line a cause."""
    by_cause: dict[str, list[str]] = {}
    for finding in findings:
        if finding.ok is None:
            by_cause.setdefault(finding.cause, []).append(finding.check)
    return [f"?  {', '.join(checks)}: could not be looked at, because {cause}" for cause, checks in by_cause.items()]
