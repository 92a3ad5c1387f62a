"""What an operator may tell the controller: hold, go on, stop this, go back, take that one."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from services.retrainer.rollout.books import Change, insistently
from services.retrainer.rollout.control import RolloutControl
from services.retrainer.rollout.decide import RolloutRefused, moved, names, taken_back, versions_of
from services.retrainer.rollout.plan import pending, trial_of
from services.retrainer.rollout.steps import Terms
from shared.core.errors import UserError
from shared.core.plans import PlanState, refusing
from shared.core.records import Rollout
from shared.core.registry import CHAMPION, VersionInfo
from shared.core.rollout import RolloutTable

GATE_TAG = "tailrace.gate"


class Back(NamedTuple):
    """What came of a version that was taken back: the one that acts instead, and workers that had to be fenced."""

    version: str
    acting: str
    fenced: Sequence[str]


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """Where the plan of a pipeline stands. `trial` is the challenger's version, `step` its place in `steps`, from 1."""

    champion: str
    epoch: int
    trial: str = ""
    step: int = 0
    steps: tuple[str, ...] = ()
    waiting: str = ""
    since: int = 0
    paused: str = ""
    refused: dict[str, str] = {}


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A registered version, and what became of it. `in_force` has its active epochs, each with its mode."""

    version: str
    state: str
    digest: str
    run_id: str
    created: int
    aliases: tuple[str, ...] = ()
    in_force: dict[str, str] = {}
    gate: str = ""
    refused: str = ""
    acting: bool = False


def pause(control: RolloutControl, reason: str) -> None:
    """Let the plan hold where it is; what does harm is taken back all the same."""
    insistently(control.books, lambda _, state: Change((), msgspec.structs.replace(state, paused=reason or "by hand")))


def resume(control: RolloutControl) -> None:
    """Let the plan go on."""
    insistently(control.books, lambda _, state: Change((), msgspec.structs.replace(state, paused="")))


def abort(control: RolloutControl, reason: str) -> Back:
    """Take the challenger under way back, in whatever step it is, for good.

    Raises:
        RolloutRefused: no challenger is under way.
    """
    found: list[str] = []

    def decide(table: RolloutTable, state: PlanState) -> Change:
        force = table.newest_active()
        under_way = None if force is None else pending(table, force) or trial_of(table, force)
        if under_way is None:
            raise RolloutRefused("no challenger is under way")
        found[:] = [versions_of(under_way)[-1]]
        words = f"aborted: {reason}"
        if under_way.plan == "swap":  # its version may act elsewhere, and is not at fault
            return Change([moved(under_way, "revoked", control.now(), words)])
        return Change(taken_back(found[0], table, control.now(), words), refusing(state, found[0], words))

    change = insistently(control.books, decide)
    return _back(control, found[0], change)


def rollback(control: RolloutControl, reason: str) -> Back:
    """Take the newest champion back: the one before it acts from each worker's next batch on.

    Raises:
        RolloutRefused: nothing would be left to score with.
    """
    found: list[str] = []

    def decide(table: RolloutTable, state: PlanState) -> Change:
        force = table.newest_active()
        if force is None:
            raise RolloutRefused("no version is in force")
        found[:] = [versions_of(force)[-1]]
        words = f"rolled back by hand: {reason}"
        return Change(taken_back(found[0], table, control.now(), words), refusing(state, found[0], words))

    change = insistently(control.books, decide)
    return _back(control, found[0], change)


def _back(control: RolloutControl, version: str, change: Change) -> Back:
    fenced = control.gone({r.epoch for r in change.rollouts})
    force = control.books.table().newest_active()
    return Back(version, force.champion.version if force is not None else "", fenced)


def promotable(versions: Sequence[VersionInfo], version: str, pipeline: str) -> VersionInfo:
    """The version that somebody wants in force.

    Raises:
        UserError: it is not registered, or has no bundle; names those that have one.
    """
    whole = [info for info in versions if info.ref is not None]
    said = ", ".join(info.version for info in whole) or "none"
    info = next((one for one in versions if one.version == version), None)
    if info is None:
        raise UserError(f"{pipeline} has no version {version}", remedy=f"promote one of: {said}")
    if info.ref is None:
        state = info.state or "not made by Tailrace"
        raise UserError(f"version {version} of {pipeline} is {state}: it has no bundle", remedy=f"one of: {said}")
    return info


def granted(table: RolloutTable, state: PlanState, aliases: Mapping[str, str], version: str) -> str | None:
    """What became of a promotion: empty where it is in force, why not where it was refused, None while it is open."""
    force = table.newest_active()
    if force is not None and force.mode == "champion" and force.champion.version == version:
        return ""
    if aliases.get(CHAMPION) != version:
        return state.refused.get(version, "somebody else moved the alias")
    return None


def standing(table: RolloutTable, state: PlanState, terms: Terms) -> Standing:
    """Where the plan stands."""
    force = table.newest_active()
    steps = tuple(step.words for step in terms.steps)
    if force is None:
        return Standing(champion="", epoch=0, steps=steps, paused=state.paused, refused=state.refused)
    trial, waiting = trial_of(table, force), pending(table, force)
    words = "" if waiting is None else f"epoch {waiting.epoch}: version {versions_of(waiting)[-1]}, {_mode(waiting)}"
    return Standing(
        champion=force.champion.version, epoch=force.epoch, steps=steps, waiting=words, paused=state.paused,
        refused=state.refused, trial="" if trial is None else versions_of(trial)[-1],
        step=0 if trial is None else trial.step + 1, since=0 if trial is None else trial.since,
    )  # fmt: skip


def rows(
    versions: Sequence[VersionInfo], aliases: Mapping[str, str], table: RolloutTable, state: PlanState
) -> list[Row]:
    """Every registered version, the newest first."""
    force = table.newest_active()
    made = []
    for info in reversed(versions):
        mine = [r for r in table if r.state == "active" and names(r, info.version)]
        made.append(
            Row(
                version=info.version, state=info.state, digest=info.digest, run_id=info.run_id, created=info.created,
                aliases=tuple(sorted(alias for alias, v in aliases.items() if v == info.version)),
                in_force={str(r.epoch): _mode(r, info.version) for r in mine}, gate=info.tags.get(GATE_TAG, ""),
                refused=info.refused or state.refused.get(info.version, ""),
                acting=force is not None and names(force, info.version),
            )
        )  # fmt: skip
    return made


def _mode(rollout: Rollout, version: str = "") -> str:
    """The role of a version in an epoch, in words."""
    if rollout.mode == "champion" or version == rollout.champion.version:
        return "champion"
    return f"canary {rollout.share:.0%}" if rollout.mode == "canary" else rollout.mode
