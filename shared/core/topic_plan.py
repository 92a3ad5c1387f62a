"""What separates a broker's topics from those a pipeline wants, and what may be done about it. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from shared.core import durations
from shared.core.pipeline import PipelineSpec
from shared.core.topics import EQUAL_COUNTS, TopicName, WantedTopic, topic

Kind = Literal["create", "alter", "refuse", "warn"]


@dataclass(frozen=True, slots=True)
class ActualTopic:
    """One topic as a broker has it; `config` has every value in force, defaults too."""

    partitions: int
    replication: int
    config: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Action:
    """One thing to do, or one that is refused or only said. `changes` maps a broker's name to (is, will be)."""

    kind: Kind
    topic: str
    what: str
    changes: Mapping[str, tuple[str, str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Plan:
    """All actions in the table's order; applying it when it is empty of work does nothing."""

    actions: tuple[Action, ...]

    @property
    def refused(self) -> tuple[Action, ...]:
        """What no command does: the whole plan is then not applied."""
        return self._of("refuse")

    @property
    def work(self) -> tuple[Action, ...]:
        """What `apply` would do."""
        return self._of("create", "alter")

    def _of(self, *kinds: Kind) -> tuple[Action, ...]:
        return tuple(action for action in self.actions if action.kind in kinds)


def compare(wanted: Sequence[WantedTopic], actual: Mapping[str, ActualTopic]) -> Plan:
    """The plan that leads from a broker's topics to the wanted ones.

    Args:
        wanted: from `shared.core.topics.wanted`.
        actual: the broker's topics by name; a missing one is created.
    """
    return Plan(tuple(action for want in wanted for action in _actions(want, actual.get(want.name))))


def faults(spec: PipelineSpec, actual: Mapping[str, ActualTopic]) -> tuple[str, ...]:
    """What would make results wrong if the pipeline ran on these topics now; empty when all is well.

    Topics that are missing are not judged here: `compare` creates them.
    """
    have = {name: actual[topic(spec.name, name)] for name in EQUAL_COUNTS if topic(spec.name, name) in actual}
    return (*_unequal(spec.name, have), *_stamped(spec.name, actual), *_too_short(spec, have))


def _actions(want: WantedTopic, have: ActualTopic | None) -> list[Action]:
    if have is None:
        what = f"create with {want.partitions} partition(s), replication {want.replication}"
        return [Action("create", want.name, what, {name: ("", value) for name, value in want.config.items()})]
    found: list[Action] = []
    if have.partitions != want.partitions:
        what = (
            f"has {have.partitions} partitions, {want.partitions} are wanted: keys would move to other partitions; "
            "growth is a new topic generation after a drain"
        )
        found.append(Action("refuse", want.name, what))
    if have.replication != want.replication:
        what = f"has replication {have.replication}, {want.replication} is wanted: move it with the broker's own tools"
        found.append(Action("warn", want.name, what))
    changes = {
        name: (have.config.get(name, ""), value)
        for name, value in want.config.items()
        if have.config.get(name, "") != value
    }
    if changes:
        what = "alter " + ", ".join(f"{name} {old or 'unset'} -> {new}" for name, (old, new) in changes.items())
        found.append(Action("alter", want.name, what, changes))
    return found


def _unequal(pipeline: str, have: Mapping[TopicName, ActualTopic]) -> list[str]:
    counts = {name: topic_.partitions for name, topic_ in have.items()}
    if len(set(counts.values())) <= 1:
        return []
    said = ", ".join(f"{topic(pipeline, name)} {count}" for name, count in counts.items())
    return [f"partition counts must be equal: {said}"]


def _stamped(pipeline: str, actual: Mapping[str, ActualTopic]) -> list[str]:
    return [
        f"{name} stamps {kind} where LogAppendTime is needed: retention would delete records of old events"
        for name, have in actual.items()
        if name.startswith(f"{pipeline}.")
        and (kind := have.config.get("message.timestamp.type", "LogAppendTime")) != "LogAppendTime"
    ]


def _too_short(spec: PipelineSpec, have: Mapping[TopicName, ActualTopic]) -> list[str]:
    return [
        f"{topic(spec.name, name)} keeps {durations.write(kept / 1_000)}, but a label may come "
        f"{durations.write(spec.labels.horizon)} after its record"
        for name in ("journal", "predictions")
        if name in have and 0 <= (kept := int(have[name].config.get("retention.ms", "-1"))) < spec.labels.horizon * 1e3
    ]
