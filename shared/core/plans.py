"""What the rollout controller remembers beside the epochs themselves, on `<pipeline>.plans`."""

import msgspec

from shared.core.records import SCHEMA_VERSION


class PlanState(msgspec.Struct, frozen=True, omit_defaults=True):
    """Of one pipeline; the last value counts. Everything else follows from `models` and from MLflow's aliases.

    `paused` is why the plan holds (empty: it goes on). `refused` says why versions are not to be tried again.
    `champion` is the version that the alias of that name had when it last agreed with what is in force: an alias that
    names another one is somebody's wish, one that still names this one only lags behind.
    """

    pipeline: str
    paused: str = ""
    refused: dict[str, str] = {}
    champion: str = ""
    v: int = SCHEMA_VERSION


REFUSED_KEPT = 100


def refusing(state: PlanState, version: str, reason: str) -> PlanState:
    """The state with one more refusal; the oldest go beyond a hundred, and MLflow's tags still have them."""
    kept = {v: why for v, why in state.refused.items() if v != version} | {version: reason}
    return msgspec.structs.replace(state, refused=dict(list(kept.items())[-REFUSED_KEPT:]))


def pardoning(state: PlanState, version: str) -> PlanState:
    """The state without the refusal of a version: somebody wants it in spite of it."""
    return msgspec.structs.replace(state, refused={v: why for v, why in state.refused.items() if v != version})
