"""From findings to verdicts: they rise at once, and fall when nothing has held them up for a while."""

from collections.abc import Iterable, Iterator

import msgspec

from services.monitor.analyst.findings import Finding
from services.monitor.analyst.policy_state import EVIDENCE, RANK, PolicyTerms, Standing, State
from services.monitor.analyst.spoiled import faults
from shared.core.monitor_records import Verdict


def known(finding: Finding, terms: PolicyTerms) -> Finding:
    """Of too few nothing is known; what brings its own proof (detectors and faults) has its own minimum."""
    if finding.level is None or finding.trigger not in ("quality", "features") or finding.n >= terms.minimum:
        return finding
    words = f"unknown: {finding.n:,} are fewer than {terms.minimum:,}"
    return msgspec.structs.replace(finding, level=None, words=words, value=None, low=None, high=None)


def judged(state: State, findings: Iterable[Finding], terms: PolicyTerms) -> tuple[State, list[Verdict]]:
    """The state with what stands now, and a verdict of each finding."""
    standing, verdicts = dict(state.standing), list[Verdict]()
    for finding in findings:
        before = standing.get(finding.metric, Standing("ok", state.now, "", state.now))
        after = standing[finding.metric] = _after(before, finding, state.now, terms)
        reasons = [*_why(after, finding, terms), *_void(state, finding, terms)]
        verdicts.append(
            Verdict(
                version=state.version, metric=finding.metric, trigger=finding.trigger, verdict=after.level,
                n=finding.n, window=finding.window, since=after.since, at=state.now, value=finding.value,
                low=finding.low, high=finding.high, threshold=finding.threshold, reasons=tuple(reasons),
            )
        )  # fmt: skip
    return msgspec.structs.replace(state, standing=standing), verdicts


def _after(before: Standing, finding: Finding, now: int, terms: PolicyTerms) -> Standing:
    if finding.level is None:
        return before
    rise = RANK[finding.level] - RANK[before.level]
    if rise == 0:
        return msgspec.structs.replace(before, seen=now, words=finding.words)
    if rise < 0 and now - before.seen < terms.settle:
        return before
    return Standing(finding.level, now, finding.block or str(finding.window[0]), now, finding.words)


def _why(standing: Standing, finding: Finding, terms: PolicyTerms) -> Iterator[str]:
    """What holds a verdict up, first; where that was found before, what is found now explains nothing of it."""
    if RANK[standing.level] <= RANK[finding.level or "ok"]:
        yield finding.words
        return
    if standing.words:
        yield standing.words
    yield f"now: {finding.words}"
    if finding.level is not None:
        yield f"{standing.level} until this has lasted for {terms.settle // 1_000:,} s of event time"


def _void(state: State, finding: Finding, terms: PolicyTerms) -> Iterator[str]:
    if finding.trigger in EVIDENCE and finding.level not in (None, "ok"):
        for fault in sorted(set(faults(state.spoiled, finding.trigger, finding.window, terms.delay))):
            yield f"asks for nothing: {fault.replace('_', ' ')} in its window"


def moved(verdict: Verdict) -> bool:
    """Whether a verdict is a move in errors or in the estimate, beside which features page."""
    if verdict.trigger == "estimate":
        return verdict.verdict != "ok"
    return verdict.trigger in ("errors", "loss", "quality") and verdict.verdict == "alarm"
