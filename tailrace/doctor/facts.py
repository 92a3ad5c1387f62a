"""What the doctor knows before it judges: plain data, so that every judgement is a pure function of it.

None stands for what could not be read; `Facts.unread` then says why. Times are ms since 1970 UTC.
"""

from collections.abc import Mapping
from typing import Literal

import msgspec

from shared.core.pipeline import PipelineSpec
from shared.core.records import Heartbeat, Note, Rollout
from shared.core.topic_plan import ActualTopic
from tailrace.stack.status import StackStatus

Origin = Literal["stack", "absent", "killed", "set", "default"]


class Finding(msgspec.Struct, frozen=True):
    """One answer. `ok` is None where it could not be looked at; `next_command` is empty where nothing is to be done."""

    check: str
    ok: bool | None
    what: str
    cause: str = ""
    next_command: str = ""


class Server(msgspec.Struct, frozen=True, kw_only=True):
    """One server. `origin` says whose address it is.

    It is that of the running stack, or the default beside a stack that was started without this server, or beside one
    that was killed, or where none runs; or the user set it.

    `error` is empty where it answers; `denied` says that it does but lets us not in.
    """

    address: str
    origin: Origin
    error: str = ""
    denied: bool = False


class Disk(msgspec.Struct, frozen=True):
    """A folder that we write to, the megabytes that are free there, and those that should be."""

    folder: str
    free_mb: int
    wanted_mb: int
    setting: str


class Partition(msgspec.Struct, frozen=True):
    """One partition of `records` as the scorers' group stands in it, looked at twice.

    `committed` and `later` are -1 where nothing was committed yet; `waits_since` is when the first record beyond
    `committed` was appended, None where no record waits.
    """

    partition: int
    committed: int
    later: int
    end: int
    waits_since: int | None = None

    @property
    def lag(self) -> int:
        """Offsets between the group and the end."""
        return self.end - max(self.later, 0)


class Pinned(msgspec.Struct, frozen=True):
    """An open transaction: readers under read_committed see nothing from `offset` on."""

    topic: str
    partition: int
    offset: int
    since: int


class Beat(msgspec.Struct, frozen=True):
    """A heartbeat, when the broker appended it, and whether it came while we were looking."""

    appended: int
    said: Heartbeat
    fresh: bool = False


class Letters(msgspec.Struct, frozen=True):
    """The last hour: records that came in, and dead letters by reason (`whole`: all of them were read)."""

    records: int
    reasons: dict[str, int]
    whole: bool = True


class PipelineFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What the broker says of one pipeline. `where` is its name as the user gave it, `members` counts client ids."""

    spec: PipelineSpec
    where: str
    topics: dict[str, ActualTopic] | None = None
    rollouts: tuple[Rollout, ...] | None = None
    notes: dict[int, Note] | None = None
    beats: tuple[Beat, ...] | None = None
    partitions: tuple[Partition, ...] | None = None
    pinned: tuple[Pinned, ...] | None = None
    members: dict[str, int] | None = None
    letters: Letters | None = None


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """Everything. `looked` is how long (ms) before `now` the first look was; a fresh beat lies between the two."""

    now: int
    kafka: Server
    redis: Server
    mlflow: Server
    looked: int = 0
    stack: StackStatus | None = None
    disks: tuple[Disk, ...] = ()
    warnings: tuple[str, ...] = ()
    pipeline: PipelineFacts | None = None
    unread: Mapping[str, str] = {}
