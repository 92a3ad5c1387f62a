"""What the controller does next: a pure function of what stands in the topics, what MLflow says, and the evidence.

Nothing is remembered between two looks but what is written, so a successor goes on where a controller died. Safety
comes first: a challenger that does harm is taken back whether or not the plan is paused, MLflow answers, or the
epoch is settled everywhere. Then wishes, then the plan.
"""

from collections.abc import Sequence

import msgspec

from services.retrainer.rollout.decide import (
    RolloutRefused,
    known_ref,
    moved,
    names,
    next_epoch,
    readiness,
    taken_back,
    versions_of,
)
from services.retrainer.rollout.evidence import Evidence
from services.retrainer.rollout.steps import Step, Terms
from services.retrainer.rollout.view import REST, Move, View
from shared.core.plans import pardoning, refusing
from shared.core.records import BundleRef, Rollout
from shared.core.registry import CHALLENGER, CHAMPION
from shared.core.rollout import RolloutTable


def next_move(view: View, terms: Terms) -> Move:
    """The next step, or why there is none now."""
    force = view.table.newest_active()
    if force is None:
        return Move("hold", "no version is in force: run `tailrace train`")
    trial, waiting = trial_of(view.table, force), pending(view.table, force)
    return (
        _harm(view, trial or force)
        or _left_over(view, trial)
        or _wished(view, terms, force, waiting)
        or (waiting and (_overtaken(view, force, waiting, trial) or _prepared(view, terms, waiting)))
        or (trial and _stepped(view, terms, trial))
        or _challenged(view, terms, force)
        or REST
    )


def pending(table: RolloutTable, force: Rollout) -> Rollout | None:
    """The controller's own epoch that waits until workers are ready; those that a training announced do not count."""
    own = [r for r in table if r.state == "announced" and r.plan and r.epoch > force.epoch]
    return own[-1] if own else None


def trial_of(table: RolloutTable, force: Rollout) -> Rollout | None:
    """The epoch of the step that a challenger is in: a shadow beside what is in force, or the canary in force."""
    shadow = table.shadowing()
    if shadow is not None and shadow.plan == "trial" and shadow.champion == force.champion and force.mode == "champion":
        return shadow
    return force if force.mode == "canary" and force.plan == "trial" else None


def tried(table: RolloutTable, version: str) -> bool:
    """Whether a version was ever on trial."""
    return any(r.plan == "trial" and versions_of(r)[-1] == version for r in table)


def _harm(view: View, rollout: Rollout) -> Move | None:
    """A challenger that does harm goes; so does a champion that the controller brought and that cannot score."""
    if not rollout.plan or view.found is None or not view.found.bad:
        return None
    worst = view.found.bad[0]
    version = versions_of(rollout)[-1]
    words = f"rolled back ({worst.name}): {worst.words}"
    try:
        gone = taken_back(version, view.table, view.now, words)
    except RolloutRefused:  # nothing below it could act: it stays, and the next wish can replace it
        return None
    figures = {"value": worst.value, "threshold": worst.threshold}
    return Move("withdraw", words, version, tuple(gone), refusing(view.state, version, words), worst.name, figures)


def _left_over(view: View, trial: Rollout | None) -> Move | None:
    """A shadow beside a champion that is in force no more, since somebody brought another one: its trial is over."""
    shadow = view.table.shadowing()
    if shadow is None or shadow.plan != "trial" or shadow == trial:
        return None
    words = "the champion beside it has changed"
    return Move("cancel", words, versions_of(shadow)[-1], (moved(shadow, "revoked", view.now, words),))


def _wished(view: View, terms: Terms, force: Rollout, waiting: Rollout | None) -> Move | None:
    """Somebody moved the alias of the champion: no plan, but everything that protects a rollout."""
    if view.wish is None or not view.state.champion:
        return None
    if waiting is not None and waiting.plan == "swap":
        if waiting.champion.version == view.wish.aliases.get(CHAMPION):
            return None
        words = "the alias champion has moved on"
        return Move("cancel", words, waiting.champion.version, (moved(waiting, "revoked", view.now, words),))
    wanted = view.wish.steady(CHAMPION)
    if not wanted or wanted in (view.state.champion, force.champion.version):
        return None
    return _promoted(view, terms, wanted, waiting)


def _promoted(view: View, terms: Terms, wanted: str, waiting: Rollout | None) -> Move:
    ref = _bundle(view, wanted)
    if isinstance(ref, str):
        state = msgspec.structs.replace(view.state, champion=wanted)
        return Move("refuse", f"alias champion: {ref}; the old version stays in force", wanted, (), state, "refused")
    if view.late:
        return Move("hold", _unsettled(view), wanted)
    dropped = [moved(waiting, "revoked", view.now, "somebody promoted another version")] if waiting else []
    words = "alias champion was moved in MLflow"
    made = Rollout(terms.pipeline, next_epoch(view.table), ref, "announced", words, view.now, plan="swap")
    return Move("announce", words, wanted, (*dropped, made), pardoning(view.state, wanted))


def _overtaken(view: View, force: Rollout, waiting: Rollout, trial: Rollout | None) -> Move | None:
    """A step that was meant to follow on what is in force no more: it would bring back what somebody replaced."""
    if waiting.plan != "trial":
        return None
    version = versions_of(waiting)[-1]
    beside = waiting.challenger is None or waiting.champion == force.champion
    follows = not waiting.step or (trial is not None and versions_of(trial)[-1] == version)
    if beside and follows:
        return None
    words = "another version came into force meanwhile"
    return Move("cancel", words, version, (moved(waiting, "revoked", view.now, words),))


def _prepared(view: View, terms: Terms, waiting: Rollout) -> Move:
    """Whether every worker has loaded what waits; one that refuses it ends it."""
    shadow = waiting.mode == "shadow"
    needed = versions_of(waiting)[-1:] if shadow else versions_of(waiting)
    version = needed[-1]
    ready = readiness(view.heartbeats, needed, view.now, shadow=shadow)
    if ready.refused:
        said = "; ".join(f"{worker}: {why}" for worker, why in sorted(ready.refused.items()))[:500]
        return _refused(view, waiting, version, f"refused by workers ({said})")
    if waiting.plan == "trial" and view.state.paused:
        return Move("hold", f"paused: {view.state.paused}", version)
    if lacking := _lacking(terms, ready.live, ready.ready, ready.owned, shadow=shadow):
        return Move("hold", f"version {version} waits: {lacking}", version)
    if view.late and not shadow:
        return Move("hold", _unsettled(view), version)
    found = view.found
    since = found.event_time if found is not None and found.event_time is not None else 0
    seen = found.count if found is not None and _same_role(view, waiting) else 0
    active = msgspec.structs.replace(moved(waiting, "active", view.now, ""), since=since, seen=seen)
    over = [moved(r, "revoked", view.now, "the shadow is over") for r in view.table if _old_shadow(r, active)]
    state = None
    if waiting.plan == "swap":
        state = msgspec.structs.replace(view.state, champion=version)
    return Move("activate", active.reason, version, (active, *over), state)


def _lacking(
    terms: Terms, live: Sequence[str], ready: Sequence[str], owned: frozenset[int], *, shadow: bool
) -> str:  # fmt: skip
    """Which workers are missing, in words; empty: none is."""
    if not live:
        return "no worker scores shadows: start the service `shadow`" if shadow else "no scorer is live"
    if late := sorted(set(live) - set(ready)):
        return f"{', '.join(late)} have not loaded it"
    if not shadow and (bare := sorted(set(range(terms.partitions)) - owned)):
        return f"no live worker says that it has partitions {bare}"
    return ""


def _refused(view: View, waiting: Rollout, version: str, words: str) -> Move:
    state = refusing(view.state, version, words)
    if waiting.plan == "swap":
        state = msgspec.structs.replace(state, champion=version)  # the alias goes back to what is in force
        mine = [r for r in view.table if r.state == "announced" and names(r, version)]
        gone = [moved(r, "revoked", view.now, words) for r in mine]
        return Move("refuse", words, version, tuple(gone), state, "refused")
    gone = taken_back(version, view.table, view.now, words)
    active = any(old.state == "active" for r in gone if (old := view.table.get(r.epoch)) is not None)
    return Move("withdraw" if active else "refuse", words, version, tuple(gone), state, "refused")


def _stepped(view: View, terms: Terms, trial: Rollout) -> Move:
    """Whether a step has lasted long enough, and what comes then."""
    version, found = versions_of(trial)[-1], view.found
    step = step_of(trial, terms)
    if view.state.paused:
        return Move("hold", f"paused: {view.state.paused}", version)
    if view.late:
        return Move("hold", _unsettled(view), version)
    if found is None or found.event_time is None:
        return Move("hold", f"{step.words}: no scorecards come; does the observer run?", version)
    if not trial.since:
        stamped = msgspec.structs.replace(trial, since=found.event_time, seen=found.count)
        return Move("stamp", "", version, (stamped,))
    if left := _left(step, found, found.event_time - trial.since, found.count - trial.seen, terms.horizon):
        return Move("hold", f"{step.words}: {left}; {found.words}", version)
    how = found.words if found.quality is not None else "without labels, which did not come"
    return _next_step(view, terms, trial, f"{step.words} passed: {how}")


def _left(step: Step, found: Evidence, lasted: int, count: int, horizon: int) -> str:
    """What a step still wants, in words; empty: nothing. Labels are waited for, but no longer than they may take."""
    if lasted < step.time:
        return f"{max(lasted, 0) / 1_000:.0f} of {step.time / 1_000:.0f} s of event time"
    if count < step.records:
        return f"{max(count, 0)} of {step.records} records"
    if found.quality is None and lasted < step.time + horizon:
        return "labels may still come"
    return ""


def _next_step(view: View, terms: Terms, trial: Rollout, words: str) -> Move:
    if trial.challenger is None:
        return REST
    # By shares and not by number: the file may have changed since, and no key may go back.
    later = [i for i, step in enumerate(terms.steps) if step.mode == "champion" or step.share > trial.share]
    number = later[0]
    made = _epoch(view, terms, trial.champion, trial.challenger, number, words)
    return Move("announce", words, trial.challenger.version, (made,))


def _challenged(view: View, terms: Terms, force: Rollout) -> Move | None:
    """A version that the gate let through and that was never tried: its plan begins."""
    version = view.wish.steady(CHALLENGER) if view.wish is not None else ""
    if not version or version == force.champion.version or version in view.state.refused or tried(view.table, version):
        return None
    if view.wish is not None and (info := view.wish.versions.get(version)) is not None and info.refused:
        return None
    ref = _bundle(view, version)
    if isinstance(ref, str):
        words = f"alias challenger: {ref}"
        return Move("refuse", words, version, (), refusing(view.state, version, words), "refused")
    if view.state.paused:
        return Move("hold", f"paused: {view.state.paused}", version)
    if view.late:
        return Move("hold", _unsettled(view), version)
    made = _epoch(view, terms, force.champion, ref, 0, "the plan begins")
    return Move("announce", "the plan begins", version, (made,))


def _epoch(view: View, terms: Terms, champion: BundleRef, challenger: BundleRef, number: int, words: str) -> Rollout:
    step, epoch = terms.steps[number], next_epoch(view.table)
    if step.mode == "champion":
        return Rollout(terms.pipeline, epoch, challenger, "announced", words, view.now, plan="trial", step=number)
    return Rollout(
        terms.pipeline,
        epoch,
        champion,
        "announced",
        words,
        view.now,
        challenger,
        step.mode,
        step.share,
        "trial",
        number,
    )


def _bundle(view: View, version: str) -> BundleRef | str:
    """Where a version's bundle is, or why it can have none."""
    info = view.wish.versions.get(version) if view.wish is not None else None
    if info is None:
        return f"version {version} is not registered"
    if info.ref is None:
        return f"version {version} is {info.state or 'of another maker'}: it has no bundle"
    known = known_ref(view.table, version)
    return info.ref if known is None or known.digest != info.ref.digest else known


def _same_role(view: View, waiting: Rollout) -> bool:
    """Whether the evidence counts records of the role that the waiting epoch gives to its challenger."""
    force = view.table.newest_active()
    trial = trial_of(view.table, force) if force is not None else None
    return trial is not None and trial.mode == waiting.mode


def _old_shadow(rollout: Rollout, active: Rollout) -> bool:
    return rollout.mode == "shadow" and rollout.state == "active" and rollout.epoch < active.epoch


def _unsettled(view: View) -> str:
    return f"partitions {list(view.late)} have not passed the last barrier yet"


def step_of(rollout: Rollout, terms: Terms) -> Step:
    """The declared step that an epoch belongs to."""
    return terms.steps[min(rollout.step, len(terms.steps) - 1)]
