"""The one decision: from findings to verdicts, and to at most one retrain request a cool-down. A pure state machine.

`step` is asked at every look, with everything that was found. The same evidence again changes nothing and asks for
nothing. What counts is event time, and that never goes back.

- *Verdicts* rise at once and fall when nothing has held them up for `settle`. What is unknown changes none.
- *Features* page (`alarm`) only beside a rise of errors, a missed goal or a worse estimate; else they `warn`.
- *Asking.* A rise of errors or loss that later labels confirm, a missed goal, the clock, a number of labels, an
  operator; features where the pipeline says so. A request inside a cool-down is kept, not dropped, until its end, and
  one that evidence asks for until the alarm period is over; a new version answers what is kept. One request serves all
  that may ask.
- *Never asking.* A label outage, a schema fault, a unit jump, a flood of conflicting labels and labels turned over
  alarm as what they are. While one stands nothing but an operator asks; and what was measured in a span that one of
  them spoiled asks for nothing, also later.
"""

import msgspec

from services.monitor.analyst.asking import decided, wishes
from services.monitor.analyst.policy_state import Decision, Evidence, PolicyTerms, State
from services.monitor.analyst.spoiled import with_faults
from services.monitor.analyst.verdicts import judged, known, moved


def step(state: State, evidence: Evidence, terms: PolicyTerms) -> Decision:
    """Decide on one look."""
    state = _begun(state, evidence)
    found = [known(finding, terms) for finding in evidence.findings]
    state = msgspec.structs.replace(state, spoiled=with_faults(state.spoiled, found))
    first = [finding for finding in found if finding.trigger != "features"]
    state, verdicts = judged(state, first, terms)
    paging = any(moved(verdict) for verdict in verdicts)
    features = [f if paging or f.level != "alarm" else msgspec.structs.replace(f, level="warn") for f in found
                if f.trigger == "features"]  # fmt: skip
    state, more = judged(state, features, terms)
    verdicts += more
    alarms = [finding for finding in found if finding.level == "alarm"]
    asking = list(wishes(state, evidence, alarms, verdicts, terms))
    return decided(state, evidence, asking, tuple(verdicts), terms)


def _begun(state: State, evidence: Evidence) -> State:
    """The clock never goes back; a new version begins anew, but not the cool-down, nor an operator's request.

    Nothing begins before event time is known: else the clock would have run since 1970.
    """
    now = max(state.now, evidence.now)
    if state.version == evidence.version and (state.started or not now):
        return msgspec.structs.replace(state, now=now)
    kept = tuple(wish for wish in state.kept if wish.trigger == "manual")
    return msgspec.structs.replace(
        state, version=evidence.version, now=now, started=now, counted=evidence.labels, standing={}, kept=kept
    )
