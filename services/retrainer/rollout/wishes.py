"""What MLflow's aliases ask for, and what they must be so that they say what is true."""

from collections.abc import Mapping
from dataclasses import dataclass

from services.retrainer.rollout.decide import previous
from shared.core.plans import PlanState
from shared.core.records import Rollout
from shared.core.registry import CHALLENGER, CHAMPION, PREVIOUS, REFUSED_TAG, VersionInfo
from shared.core.rollout import RolloutTable


@dataclass(frozen=True, slots=True)
class Wish:
    """Two looks at the registry, the newer one first: what is the same in both is meant."""

    aliases: Mapping[str, str]
    before: Mapping[str, str]
    versions: Mapping[str, VersionInfo]

    def steady(self, alias: str) -> str:
        """The version that an alias names, if it did so a look ago as well; else empty."""
        version = self.aliases.get(alias, "")
        return version if version == self.before.get(alias, "") else ""


@dataclass(frozen=True, slots=True)
class Op:
    """One correction: an alias is set (or dropped, without a version), or a version is tagged."""

    what: str
    version: str = ""
    value: str = ""


def corrections(table: RolloutTable, state: PlanState, wish: Wish, busy: str) -> list[Op]:
    """What must change in the registry, so that it says what is in force.

    An alias `champion` that was moved by somebody is a wish and left alone until it is granted or refused.

    Args:
        table: what is in force.
        state: what is remembered.
        wish: what the registry says.
        busy: the version on trial, or about to be; empty: none.
    """
    force = table.newest_active()
    if force is None:
        return []
    ops: list[Op] = []
    champion, named = force.champion.version, wish.aliases.get(CHAMPION, "")
    if named != champion and named in (state.champion, "") and _there(wish, champion):
        ops.append(Op(CHAMPION, champion))
    last = previous(table)
    if last and wish.aliases.get(PREVIOUS) != last and _there(wish, last):
        ops.append(Op(PREVIOUS, last))
    elif not last and wish.aliases.get(PREVIOUS) == champion:
        ops.append(Op(PREVIOUS))
    for version, why in state.refused.items():
        if _there(wish, version) and wish.versions[version].refused != why[:500]:
            ops.append(Op(REFUSED_TAG, version, why[:500]))
    if _there(wish, champion) and champion not in state.refused and wish.versions[champion].refused:
        ops.append(Op(REFUSED_TAG, champion))  # somebody wanted it in spite of it, and it serves
    challenger = wish.aliases.get(CHALLENGER, "")
    if challenger and challenger != busy and _done(table, state, wish, challenger, champion):
        ops.append(Op(CHALLENGER))
    return ops


def agreed(table: RolloutTable, state: PlanState, wish: Wish) -> str:
    """The champion to remember, where the alias agrees with what is in force and that is news; else empty."""
    force = table.newest_active()
    if force is None:
        return ""
    champion = force.champion.version
    if not state.champion and wish.aliases.get(CHAMPION) not in (None, champion):
        return wish.aliases[CHAMPION]  # the first look: what is in force counts, and the alias follows it
    return champion if wish.aliases.get(CHAMPION) == champion != state.champion else ""


def _there(wish: Wish, version: str) -> bool:
    return version in wish.versions


def _done(table: RolloutTable, state: PlanState, wish: Wish, version: str, champion: str) -> bool:
    """Whether a challenger has had its trial, whatever came of it."""
    refused = version in state.refused or (_there(wish, version) and bool(wish.versions[version].refused))
    return version == champion or refused or any(_tried(r, version) for r in table)


def _tried(rollout: Rollout, version: str) -> bool:
    other = rollout.challenger
    return rollout.plan == "trial" and (other.version if other is not None else rollout.champion.version) == version
