"""The scorer's own logic: a part of a batch in, predictions, observations and rejects out. It writes nothing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from services.scorer.rows import Scored, some, without
from services.scorer.speeds import Speeds
from services.scorer.woven import Output, woven
from shared.core import reasons
from shared.core.codec import Decoded, RecordCodec
from shared.core.deadletter import MAX_CARRIED
from shared.core.features import FeatureBuilder, Matrix
from shared.core.metrics import Metrics
from shared.core.pipeline import PipelineSpec
from shared.core.ports import Block, Count, Found, Lookups, Message, Part, Reject, Result, Runtime, Tracer, merged
from shared.core.privacy import Redactor
from shared.core.records import TRACEPARENT, TRACESTATE, Headers
from shared.core.rollout import in_canary
from shared.core.sampling import OBSERVED, sampled
from shared.core.scoring import ObservationWriter, Version, ages_of, answers, flags_of, predictions
from shared.runtime.isolate import where

CANARY_FLAG = "canary"  # on predictions of a canary's challenger
PIECE = 2_000  # records: few enough to stay in a core's cache until they are encoded (a seventh of a step's time)


@dataclass(frozen=True, slots=True)
class Scoring:
    """One loaded version, ready to score: what it says of itself, its matrix builder, its runtime.

    In a canary's epoch it is the champion, and `challenger` scores the `share` of keys.
    """

    version: Version
    builder: FeatureBuilder
    runtime: Runtime
    challenger: "Scoring | None" = None
    share: float = 0.0


@dataclass(frozen=True, slots=True)
class Made:
    """What one version made of its records."""

    outputs: Sequence[Output]
    rejects: list[Reject]
    counts: list[Count]


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
        speeds: told how long models take; None: nobody asks.
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
        speeds: Speeds | None = None,
    ) -> None:
        self._spec, self._codec, self._lookups, self._scoring = spec, codec, lookups, scoring
        self._predict = _untimed if speeds is None else speeds.timed
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
        if version.challenger is not None:
            return self._by_two(version, version.challenger, part, partitions, Scored(decoded, found, rejects))
        made = self._by(version, part, partitions, Scored(decoded, found, rejects))
        return Result([output.block for output in made.outputs], made.rejects, made.counts)

    def _by_two(
        self, champion: Scoring, challenger: Scoring, part: Part, partitions: Sequence[int], scored: Scored
    ) -> Result:
        """Each record by the version of its key; what both made is put together in the order of the records."""
        keys = self._hidden(scored.decoded).keys
        theirs = {key: in_canary(key, champion.share) for key in set(keys)}
        mine = [j for j, key in enumerate(keys) if not theirs[key]]
        yours = [j for j, key in enumerate(keys) if theirs[key]]
        both = [
            self._by(scoring, part, partitions, some(scored, rows), flags)
            for scoring, rows, flags in ((champion, mine, ()), (challenger, yours, (CANARY_FLAG,)))
            if rows
        ]
        return Result(
            woven([output for made in both for output in made.outputs]),
            [*scored.rejects, *(reject for made in both for reject in made.rejects)],
            [count for made in both for count in made.counts],
        )

    def _by(
        self, scoring: Scoring, part: Part, partitions: Sequence[int], scored: Scored, said: Sequence[str] = ()
    ) -> Made:
        """The records of `scored` by one version; each ends as a prediction or among the rejects."""
        before, name = len(scored.rejects), scoring.version.version
        matrix = scoring.builder.matrix(scored.decoded.rows, scored.found)
        if said:
            marks = dict.fromkeys(said, np.ones(len(matrix.values), dtype=np.bool_))
            matrix = Matrix(matrix.values, {**matrix.flags, **marks}, matrix.refused)
        scored, matrix = without(scored, matrix, matrix.refused, part)
        if scored.decoded.rows:
            raw, broken = self._raw(scoring, matrix, part)
            raw = np.delete(raw, list(broken), axis=0) if broken and len(raw) else raw
            scored, matrix = without(scored, matrix, broken, part)
        counts = _counts(len(scored.rejects) - before, matrix, name)
        outputs = self._outputs(part, partitions, scored, matrix, scoring, raw) if scored.decoded.rows else []
        return Made(outputs, scored.rejects, counts)

    def _raw(self, scoring: Scoring, matrix: Matrix, part: Part) -> tuple[Any, dict[int, tuple[str, str]]]:
        """What the model answers, and which rows it gave nothing for that could be published.

        A record that breaks it is found by halving parts, as any that breaks the step; the last of it stands alone, and
        is told here, where it is known whose fault it is.
        """
        name = scoring.version.version
        try:
            raw = self._predict(name, scoring.runtime, matrix.values)
        except Exception as error:
            if len(part.messages) > 1:
                raise
            return np.empty((0,)), {0: (reasons.POISON, where(error))}
        odd = np.flatnonzero(~np.isfinite(raw.reshape(len(raw), -1)).all(axis=1)).tolist()
        return raw, dict.fromkeys(odd, (reasons.NOT_A_NUMBER, f"version {name} gave no finite score"))

    def _look_up(self, decoded: Decoded) -> Found:
        if not self._entities:
            return Found()
        wanted = {
            group: [v if isinstance(v, str) else None for v in map(get, decoded.rows)]
            for group, get in self._entities.items()
        }
        return self._lookups.get_many(wanted, decoded.times)

    def _outputs(
        self, part: Part, partitions: Sequence[int], scored: Scored, matrix: Matrix, scoring: Scoring, raw: Any
    ) -> list[Output]:
        decoded, n = self._hidden(scored.decoded), len(scored.decoded.rows)
        whole = n == len(part.messages)
        messages = part.messages if whole else [part.messages[i] for i in decoded.index]
        partitions = partitions if whole else [partitions[i] for i in decoded.index]
        flags = flags_of(matrix)
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
        made = Output(decoded.index, block)
        seen = self._observed(scored, messages, block, version)
        return [made, seen] if seen else [made]

    def _observed(self, scored: Scored, messages: Sequence[Message], block: Block, version: Version) -> Output | None:
        """What goes into the journal beside these predictions; nothing where the sample has none of them."""
        index = scored.decoded.index
        n, rate = len(messages), self._spec.monitoring.sample
        chosen: Sequence[int] = range(n)
        values: Sequence[Any] = block.values
        if rate < 1.0:
            chosen = [j for j in range(n) if sampled(scored.decoded.ids[j], rate, OBSERVED)]
            if not chosen:
                return None
            index = [index[j] for j in chosen]
            messages, values = [messages[j] for j in chosen], [values[j] for j in chosen]
            keys, headers, partitions = (
                [column[j] for j in chosen] for column in (block.keys, block.headers or (), block.partitions or ())
            )
            block = Block(block.topic, keys, values, headers, partitions)  # type: ignore[arg-type] # columns as before
        writer = ObservationWriter(scored.found, n, version.digest, self._body)
        records: list[Any] = [m.value() for m in messages]
        seen = writer.encode(chosen, values, records, [m.timestamp()[1] for m in messages])
        return Output(index, Block(self._journal, block.keys, seen, block.headers, block.partitions))

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


def _untimed(version: str, runtime: Runtime, matrix: Any) -> Any:
    del version
    return runtime.predict(matrix)


def _counts(rejected: int, matrix: Matrix, version: str) -> list[Count]:
    """For after the commit: a batch that is aborted and scored again has made its predictions once."""
    flags = [
        Count("tailrace_flagged_total", int(marked.sum()), {"flag": name}) for name, marked in matrix.flags.items()
    ]
    by_version = [
        Count("tailrace_predictions_total", len(matrix.values), {"version": version}),
        Count("tailrace_version_rejects_total", rejected, {"version": version}),
    ]
    return [count for count in (*by_version, *flags) if count.value]
