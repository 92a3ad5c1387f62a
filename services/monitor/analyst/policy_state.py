"""What the policy is given, remembers and gives."""

from typing import Literal

import msgspec

from services.monitor.analyst.findings import MINIMUM, Finding, Level, Trigger
from shared.core.monitor_records import RetrainRequest, Verdict

DAY = 86_400_000
EVIDENCE = frozenset[str](("errors", "loss", "quality", "features"))
"""What asks by itself; the clock, the count of labels and an operator are told apart from it."""
RANK: dict[Level, int] = {"ok": 0, "warn": 1, "alarm": 2}


class PolicyTerms(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All parameters; times in ms of event time.

    `cooldown` lies between two requests, `alarm_period` between two that evidence asked for (0: the cool-down).
    `every` is the clock, counted from the last request or from the version's first look (None: no clock); `labels`
    asks after so many labels since (None: never). `settle`: how long a verdict stays up after what held it.
    `delay`: how late labels may come, the pipeline's horizon. `minimum`: labels (records) below which nothing is
    said of quality (features). `drift` says what features may do: be shown, or ask for retraining.
    """

    cooldown: int = 7 * DAY
    alarm_period: int = 0
    every: int | None = 7 * DAY
    labels: int | None = None
    settle: int = DAY
    delay: int = DAY
    minimum: int = MINIMUM
    drift: Literal["show", "retrain"] = "show"


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """Everything of one look at the champion. `labels` is how many labels it has had in all, which never falls.

    `manual` is an operator's request by an id of its own, empty for none; `offsets` how far each topic was read.
    """

    pipeline: str
    version: str
    now: int
    findings: tuple[Finding, ...] = ()
    labels: int = 0
    manual: str = ""
    offsets: dict[str, int] = {}


class Standing(msgspec.Struct, frozen=True, array_like=True):
    """A verdict that stands: since when, with which block it began, when evidence held it up last, in what words."""

    level: Level
    since: int
    block: str
    seen: int
    words: str = ""


class Wish(msgspec.Struct, frozen=True, array_like=True):
    """Something that asks for retraining."""

    trigger: Trigger
    block: str
    verdict: Verdict


class State(msgspec.Struct, frozen=True):
    """What is remembered from look to look; to be stored as it is.

    `started` is when the version was first looked at, `asked` when the last request was made, of whatever version;
    `alarmed` when the last one that evidence asked for; `counted` the labels there were at the last request. `kept`
    has at most one wish of each trigger, `served` the ids of what was asked for. `spoiled` are spans of event time
    in which labels or features were not what they seemed.
    """

    version: str = ""
    now: int = 0
    started: int = 0
    counted: int = 0
    asked: int | None = None
    alarmed: int | None = None
    standing: dict[str, Standing] = {}
    kept: tuple[Wish, ...] = ()
    served: tuple[str, ...] = ()
    spoiled: tuple[tuple[str, int, int], ...] = ()


class Decision(msgspec.Struct, frozen=True):
    """The state to go on from, what is to be published, and a request if there is one."""

    state: State
    verdicts: tuple[Verdict, ...]
    request: RetrainRequest | None = None
