"""The route's own logic: each good record becomes an event for each group that it has an entity for. It writes nothing.

A group's key may be any field of a record, so the records of one entity may stand in every partition of `records`.
Keyed by entity, they come together in one partition of `entities`, where one fold sees them all.
"""

import msgspec

from shared.core.aggregates import Event, events, plans_of
from shared.core.codec import RecordCodec
from shared.core.pipeline import PipelineSpec
from shared.core.ports import Block, Count, Part, Result
from shared.core.privacy import Redactor
from shared.core.records import EntityEvent
from shared.core.rollout import is_control

_encode = msgspec.json.Encoder().encode
Made = tuple[int, bytes, bytes]  # event time, key, value


class RouteStep:
    """Routes one pipeline's records to their entities.

    What the scorer refuses by the record's schema is passed over: the dead letter is the scorer's.

    Args:
        spec: the pipeline.
        codec: decodes its records, as at scoring.
        redactor: turns personal ids into pseudonyms; a personal field has no aggregates.
        topic: `<pipeline>.entities`.
    """

    def __init__(self, spec: PipelineSpec, codec: RecordCodec, redactor: Redactor, topic: str) -> None:
        self._codec, self._topic = codec, topic
        self._groups = [(plan.group, plan.fields, events(plan, codec.getter)) for plan in plans_of(spec)]
        self._redactor = redactor

    def __call__(self, part: Part) -> Result:
        """See `Step`."""
        pairs = zip(part.messages, part.headers, strict=True)
        messages = [m for m, headers in pairs if not (headers and is_control(headers))]
        decoded = self._codec.decode(
            [m.value() for m in messages], [m.key() for m in messages], lambda: [m.timestamp()[1] for m in messages]
        )
        names = list(map(self._redactor.pseudonym, decoded.ids)) if self._redactor.hides_id else decoded.ids
        made: list[Made] = []
        nobody = 0
        for group, fields, event_of in self._groups:
            for row, name, time in zip(decoded.rows, names, decoded.times, strict=True):
                event = event_of(row, name, time)
                if event is None:
                    nobody += 1
                else:
                    made.append(_message(group, fields, event))
        # The records of a batch come a partition at a time. In order of event time fewer are late.
        made.sort(key=lambda one: one[0])
        blocks = [Block(self._topic, [key for _, key, _ in made], [value for _, _, value in made])] if made else []
        counts = [Count("tailrace_aggregate_events_total", nobody, {"result": "no_entity"})] if nobody else []
        return Result(blocks, (), counts)


def _message(group: str, fields: tuple[str, ...], event: Event) -> Made:
    entity, time, name, row = event
    values = {field: value for field, value in zip(fields, row, strict=True) if value is not None}
    return time, f"{group}:{entity}".encode(), _encode(EntityEvent(group, entity, time, name, values))
