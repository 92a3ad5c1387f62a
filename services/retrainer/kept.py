"""Aggregates in training: the versions that a history's records give their entities."""

from collections.abc import Callable, Iterator

from shared.core.aggregates import Event, Plan, events, history, plans_of
from shared.core.codec import RecordCodec, Row
from shared.core.pipeline import PipelineSpec
from shared.core.records import FeatureUpdate


class Kept:
    """What the history's records come to in the groups that the platform keeps itself.

    Every record that the schema accepts counts, labelled or not, of any time before the training's end: so it is in
    live scoring. Nothing is late here; live, `late` says how far out of order records may come.

    Args:
        spec: the pipeline.
        codec: its codec.
    """

    def __init__(self, spec: PipelineSpec, codec: RecordCodec) -> None:
        self._groups: list[tuple[Plan, Callable[[Row, str, int], Event | None], list[Event]]] = [
            (plan, events(plan, codec.getter), []) for plan in plans_of(spec)
        ]

    def add(self, row: Row, name: str, time: int) -> None:
        """Take a record in, by its id and its event time in ms."""
        for _, event_of, known in self._groups:
            event = event_of(row, name, time)
            if event is not None:
                known.append(event)

    def updates(self) -> Iterator[FeatureUpdate]:
        """Every version of every entity."""
        for plan, _, known in self._groups:
            yield from history(plan, known)
