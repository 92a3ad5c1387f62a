"""What asks for retraining, and the one request that serves it."""

from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256

import msgspec

from services.monitor.analyst.findings import Finding, Trigger
from services.monitor.analyst.policy_state import DAY, EVIDENCE, RANK, Decision, Evidence, PolicyTerms, State, Wish
from services.monitor.analyst.spoiled import SPOILING, faults
from shared.core.monitor_records import RetrainRequest, Verdict

_ORDER: tuple[Trigger, ...] = ("manual", "errors", "loss", "quality", "features", "labels", "schedule")
_CLOCKS = ("schedule", "labels")  # they ask again by themselves
_REMEMBERED = 64


def request_id(version: str, trigger: str, block: str) -> str:
    """The id of a request: equal for the same cause of the same version, whoever says it and however often."""
    return sha256(f"{version}\x00{trigger}\x00{block}".encode()).hexdigest()[:32]


def wishes(
    state: State, evidence: Evidence, alarms: Iterable[Finding], verdicts: Iterable[Verdict], terms: PolicyTerms
) -> Iterator[Wish]:
    """All that asks for retraining now and was not served, in whatever order."""
    told = {verdict.metric: verdict for verdict in verdicts}
    for finding in alarms:
        asks = finding.trigger in EVIDENCE and (finding.trigger != "features" or terms.drift == "retrain")
        if not asks or not finding.confirmed:
            continue
        block = finding.block or state.standing[finding.metric].block
        if not finding.block and not _cooling(state, finding.trigger, terms) and _served(state, finding.trigger, block):
            block = str(finding.window[0])  # it still stands when the cool-down is over: it asks again
        yield Wish(finding.trigger, block, told[finding.metric])
    last = state.started if state.asked is None else max(state.started, state.asked)
    if terms.every is not None and state.now >= last + terms.every:
        words = f"{(state.now - last) / DAY:.3g} days since the last request, or since the version came"
        yield _plain(state, evidence, "schedule", str(last + terms.every), words, last)
    if terms.labels is not None and evidence.labels - state.counted >= terms.labels:
        words = f"{evidence.labels - state.counted:,} labels since the last request, or since the version came"
        yield _plain(state, evidence, "labels", str(state.counted + terms.labels), words, last)
    if evidence.manual:
        yield _plain(state, evidence, "manual", evidence.manual, "an operator asks", last)


def _plain(state: State, evidence: Evidence, trigger: Trigger, block: str, words: str, since: int) -> Wish:
    verdict = Verdict(
        version=state.version, metric=trigger, trigger=trigger, verdict="ok", n=evidence.labels,
        window=(since, state.now), since=state.now, at=state.now, reasons=(words,),
    )  # fmt: skip
    return Wish(trigger, block, verdict)


def decided(
    state: State, evidence: Evidence, found: Iterable[Wish], verdicts: tuple[Verdict, ...], terms: PolicyTerms
) -> Decision:
    """A request for all that may ask now; what may not yet is kept, what was spoiled is not."""
    new = [wish for wish in found if not _served(state, wish.trigger, wish.block)]
    all_of_them = sorted(
        (wish for wish in (*state.kept, *new) if _sound(state, wish.trigger, wish.verdict, terms)),
        key=lambda wish: _ORDER.index(wish.trigger),
    )
    faulty = any(v.trigger in SPOILING and v.verdict == "alarm" for v in verdicts)
    ready = [
        wish for wish in all_of_them
        if not _cooling(state, wish.trigger, terms) and (not faulty or wish.trigger == "manual")
    ]  # fmt: skip
    kept = {w.trigger: w for w in reversed(all_of_them) if w not in ready and w.trigger not in _CLOCKS}
    state = msgspec.structs.replace(state, kept=tuple(kept[trigger] for trigger in sorted(kept)))
    if not ready:
        return Decision(state, verdicts)
    served = [request_id(state.version, wish.trigger, wish.block) for wish in ready]
    request = RetrainRequest(
        id=served[0], pipeline=evidence.pipeline, version=state.version, trigger=ready[0].trigger,
        block=ready[0].block, at=state.now, reasons=_reasons(state, ready, verdicts, evidence, terms),
        offsets=evidence.offsets,
    )  # fmt: skip
    remembered = tuple(dict.fromkeys((*state.served, *served)))[-_REMEMBERED:]
    alarmed = state.now if any(wish.trigger in EVIDENCE for wish in ready) else state.alarmed
    after = msgspec.structs.replace(state, asked=state.now, alarmed=alarmed, counted=evidence.labels, served=remembered)
    return Decision(after, verdicts, request)


def _reasons(
    state: State, ready: Sequence[Wish], verdicts: Sequence[Verdict], evidence: Evidence, terms: PolicyTerms
) -> tuple[Verdict, ...]:
    """What asks, then what else is neither in order nor spoiled: alarms first, then what is furthest out."""
    weights = {finding.metric: finding.weight for finding in evidence.findings}
    asking = {wish.verdict.metric: wish.verdict for wish in ready}
    others = [
        v for v in verdicts if v.verdict != "ok" and v.metric not in asking and _sound(state, v.trigger, v, terms)
    ]
    others.sort(key=lambda v: (-RANK[v.verdict], -weights.get(v.metric, 0.0), v.metric))
    return (*asking.values(), *others)


def _cooling(state: State, trigger: str, terms: PolicyTerms) -> bool:
    """Whether it is too early after another request, or for evidence after another alarm.

    A clock's request holds an alarm back for the cool-down only: the first alarm of a period is not for the next one.
    """
    if state.asked is not None and state.now - state.asked < terms.cooldown:
        return True
    return trigger in EVIDENCE and state.alarmed is not None and state.now - state.alarmed < terms.alarm_period


def _served(state: State, trigger: str, block: str) -> bool:
    return request_id(state.version, trigger, block) in state.served


def _sound(state: State, trigger: str, verdict: Verdict, terms: PolicyTerms) -> bool:
    return trigger not in EVIDENCE or not any(faults(state.spoiled, trigger, verdict.window, terms.delay))
