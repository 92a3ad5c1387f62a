"""The scorer's own logic: a part of a batch in, predictions, observations and rejects out. It writes nothing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np

from shared.core import reasons
from shared.core.codec import Decoded, RecordCodec
from shared.core.deadletter import MAX_CARRIED
from shared.core.features import FeatureBuilder, Matrix
from shared.core.metrics import Metrics
from shared.core.pipeline import PipelineSpec
from shared.core.ports import Block, Count, Found, Lookups, Message, Part, Reject, Result, Runtime, Tracer, merged
from shared.core.privacy import Redactor
from shared.core.records import TRACEPARENT, TRACESTATE, Headers
from shared.core.sampling import OBSERVED, sampled
from shared.core.scoring import ObservationWriter, Version, ages_of, answers, flags_of, predictions

PIECE = 2_000  # records: few enough to stay in a core's cache until they are encoded (a seventh of a step's time)


@dataclass(frozen=True, slots=True)
class Scoring:
    """One loaded version, ready to score: what it says of itself, its matrix builder, its runtime."""

    version: Version
    builder: FeatureBuilder
    runtime: Runtime


@dataclass(frozen=True, slots=True)
class Scored:
    """A part on its way: the rows that are still good, and the rejects so far."""

    decoded: Decoded
    found: Found
    matrix: Matrix
    rejects: list[Reject] = field(default_factory=list)


class ScorerStep:
    """Scores parts of one pipeline.

    Args:
        spec: the pipeline.
        codec: decodes its records.
        lookups: the feature cache; asked once a part.
        scoring: the loaded version of an epoch; may raise `ModelRefused`.
        redactor: keeps personal fields in.
        topics: (predictions, journal).
        metrics: told how far event time is.
        tracer: makes the trace context that a prediction carries.
    """

    def __init__(
        self,
        spec: PipelineSpec,
        codec: RecordCodec,
        lookups: Lookups,
        scoring: Callable[[int], Scoring],
        redactor: Redactor,
        topics: tuple[str, str],
        metrics: Metrics,
        tracer: Tracer,
    ) -> None:
        self._spec, self._codec, self._lookups, self._scoring = spec, codec, lookups, scoring
        self._redactor, self._metrics, self._tracer = redactor, metrics, tracer
        self._predictions, self._journal = topics
        self._entities = {group: codec.getter(lookup.key) for group, lookup in spec.lookups.items()}
        self._body = redactor.body if redactor.active else None

    def __call__(self, part: Part) -> Result:
        """See `Step`. Every message of the part ends as one prediction or one reject."""
        n = len(part.messages)
        if n <= PIECE or self._entities:  # look-ups are one round trip for all
            return self._scored(part)
        cuts = [slice(start, start + PIECE) for start in range(0, n, PIECE)]
        return merged(
            [
                self._scored(Part(part.messages[cut], part.headers[cut], part.epoch, part.traced, part.partitions[cut]))
                for cut in cuts
            ]
        )

    def _scored(self, part: Part) -> Result:
        version = self._scoring(part.epoch)
        messages = part.messages
        partitions = part.partitions or [m.partition() for m in messages]
        firsts = [messages[partitions.index(partition)] for partition in set(partitions)]
        decoded = self._codec.decode(
            [m.value() for m in messages],
            [m.key() for m in messages],
            lambda: [m.timestamp()[1] for m in messages],
            min(m.timestamp()[1] for m in firsts),  # a partition's times rise
        )
        rejects = [Reject(messages[i], reason, detail) for i, reason, detail in decoded.refused]
        if not decoded.rows:
            return Result(rejects=rejects)
        found = self._look_up(decoded)
        matrix = version.builder.matrix(decoded.rows, found)
        scored = _without(Scored(decoded, found, matrix, rejects), matrix.refused, part)
        if not scored.decoded.rows:
            return Result(rejects=scored.rejects)
        raw = version.runtime.predict(scored.matrix.values)
        odd = np.flatnonzero(~np.isfinite(raw.reshape(len(raw), -1)).all(axis=1)).tolist()
        if odd:
            raw = np.delete(raw, odd, axis=0)
            why = (reasons.NOT_A_NUMBER, f"version {version.version.version} gave no finite score")
            scored = _without(scored, dict.fromkeys(odd, why), part)
        return Result(
            self._outputs(part, partitions, scored, version, raw),
            scored.rejects,
            _counts(scored.matrix, version.version),
        )

    def _look_up(self, decoded: Decoded) -> Found:
        if not self._entities:
            return Found()
        wanted = {
            group: [v if isinstance(v, str) else None for v in map(get, decoded.rows)]
            for group, get in self._entities.items()
        }
        return self._lookups.get_many(wanted, decoded.times)

    def _outputs(
        self, part: Part, partitions: Sequence[int], scored: Scored, scoring: Scoring, raw: Any
    ) -> list[Block]:
        decoded, n = self._hidden(scored.decoded), len(scored.decoded.rows)
        whole = n == len(part.messages)
        messages = part.messages if whole else [part.messages[i] for i in decoded.index]
        partitions = partitions if whole else [partitions[i] for i in decoded.index]
        flags = flags_of(scored.matrix)
        positions = list(zip(partitions, [m.offset() for m in messages], strict=True))
        for partition, latest in dict(zip(partitions, decoded.times, strict=True)).items():
            self._metrics.gauge("tailrace_event_time_seconds", latest / 1000, partition=str(partition))
        version = scoring.version
        values = predictions(
            decoded, positions, version, answers(self._spec, version, raw), flags, ages_of(scored.found)
        )
        keys = list(map(str.encode, decoded.keys))
        headers = self._headers(part, decoded.index)
        block = Block(self._predictions, keys, values, headers, partitions)
        seen = self._observed(scored, messages, block, version)
        return [block, seen] if seen else [block]

    def _observed(self, scored: Scored, messages: Sequence[Message], block: Block, version: Version) -> Block | None:
        """What goes into the journal beside these predictions; nothing where the sample has none of them."""
        n, rate = len(messages), self._spec.monitoring.sample
        chosen: Sequence[int] = range(n)
        values: Sequence[Any] = block.values
        if rate < 1.0:
            chosen = [j for j in range(n) if sampled(scored.decoded.ids[j], rate, OBSERVED)]
            if not chosen:
                return None
            messages, values = [messages[j] for j in chosen], [values[j] for j in chosen]
            keys, headers, partitions = (
                [column[j] for j in chosen] for column in (block.keys, block.headers or (), block.partitions or ())
            )
            block = Block(block.topic, keys, values, headers, partitions)  # type: ignore[arg-type] # columns as before
        writer = ObservationWriter(scored.found, n, version.digest, self._body)
        records: list[Any] = [m.value() for m in messages]
        seen = writer.encode(chosen, values, records, [m.timestamp()[1] for m in messages])
        return Block(self._journal, block.keys, seen, block.headers, block.partitions)

    def _hidden(self, decoded: Decoded) -> Decoded:
        """Ids and keys that are personal leave as pseudonyms."""
        redactor = self._redactor
        if not (redactor.hides_id or redactor.hides_key):
            return decoded
        return msgspec.structs.replace(
            decoded,
            ids=list(map(redactor.pseudonym, decoded.ids)) if redactor.hides_id else decoded.ids,
            keys=list(map(redactor.pseudonym, decoded.keys)) if redactor.hides_key else decoded.keys,
        )

    def _headers(self, part: Part, index: Sequence[int]) -> Sequence[Headers | None]:
        """The trace headers of predictions. Nearly every record has just one that may pass, or none at all."""
        given = part.headers if len(index) == len(part.headers) else [part.headers[i] for i in index]
        if part.traced and self._tracer.pass_all([h[0][1] for h in given]):  # type: ignore[index] # none is None
            return given
        passes = self._tracer.passes
        return [
            h
            if h is None or (len(h) == 1 and h[0][0] == TRACEPARENT and h[0][1] and passes(h[0][1]))
            else self._carried(h)
            for h in given
        ]

    def _carried(self, headers: Headers | None) -> Headers | None:
        """The W3C trace context of a record, for its prediction; the first of repeated headers counts."""
        if not headers:
            return None
        parent = state = None
        for header in headers:
            name = header[0]
            if name == TRACEPARENT:
                parent = parent or header
            elif name == TRACESTATE:
                state = state or header
        if parent is None or not parent[1]:
            return None
        context = parent[1].decode("ascii", "replace")
        carried = self._tracer.carry(context)
        if carried is None:
            return None
        first = parent if carried == context else (TRACEPARENT, carried.encode())
        # One of any length would make the prediction too large for its topic.
        return [first] if state is None or not state[1] or len(state[1]) > MAX_CARRIED else [first, state]


def _counts(matrix: Matrix, version: Version) -> list[Count]:
    """For after the commit: a batch that is aborted and scored again has made its predictions once."""
    flagged = [
        Count("tailrace_flagged_total", int(marked.sum()), {"flag": name}) for name, marked in matrix.flags.items()
    ]
    return [Count("tailrace_predictions_total", len(matrix.values), {"version": version.version}), *flagged]


def _without(scored: Scored, refused: Any, part: Part) -> Scored:
    """The rows that are left after these (row -> (reason, detail)) were refused."""
    if not refused:
        return scored
    decoded, found, matrix = scored.decoded, scored.found, scored.matrix
    keep = [j for j in range(len(decoded.rows)) if j not in refused]
    more = [Reject(part.messages[decoded.index[j]], *refused[j]) for j in sorted(refused)]
    return Scored(
        Decoded(
            rows=[decoded.rows[j] for j in keep],
            index=[decoded.index[j] for j in keep],
            ids=[decoded.ids[j] for j in keep],
            keys=[decoded.keys[j] for j in keep],
            times=[decoded.times[j] for j in keep],
            refused=decoded.refused,
        ),
        Found(
            {g: [column[j] for j in keep] for g, column in found.values.items()},
            {g: [column[j] for j in keep] for g, column in found.ages.items()},
            {g: [column[j] for j in keep] for g, column in found.causes.items()},
        ),
        Matrix(matrix.values[keep], {name: marks[keep] for name, marks in matrix.flags.items()}, {}),
        scored.rejects + more,
    )
