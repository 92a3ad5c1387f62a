"""The replay itself: slice by slice of event time, features first, each record when its turn has come."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from random import Random

from services.ingest.replay.gates import Asking, FeatureGate, Gate
from services.ingest.replay.pacing import Pacer
from services.ingest.replay.plan import Item, Kind, Slice, chunks, slices
from services.ingest.replay.progress import ProgressFile
from services.ingest.replay.terms import NO_GATES, NO_HOOKS, Gates, Hooks, Progress, Publisher, Report
from shared.core.errors import Unavailable, UserError
from shared.core.ports import Clock
from shared.core.records import TRACEPARENT, Headers

SLICE_MS = 3_600_000
_SAVE_EVERY = 1.0  # seconds between two checkpoints; each costs one flush, about 10 ms
_TELL_EVERY = 0.5
_LOOK_EVERY = 0.02
_FLUSH = 120.0
_NO_BROKER = "check the broker (`tailrace doctor`), then go on with --resume"


@dataclass(slots=True)
class _Counts:
    before: dict[Kind, int]
    sent: "Counter[Kind]" = field(default_factory=Counter)
    extras: int = 0
    event_time: int = 0

    def total(self) -> dict[Kind, int]:
        return {kind: self.before.get(kind, 0) + self.sent[kind] for kind in Kind}


class Replayer:
    """Publishes a plan to `<pipeline>.records`, `.features` and `.labels`.

    Args:
        pipeline: its name.
        publisher: where messages go.
        clock: for pace, checkpoints and bounds.
        pause: waits so many seconds, or less; true once the user wants to stop.
        pacer: how fast.
        gates: what to wait for.
        hooks: who listens in.
        progress: where to remember how far it is; None: nowhere.
        total: records of the whole plan, for the share that is done.
        trace_sample: share of the records whose trace context has the sampled flag.
        seed: of the trace contexts.
    """

    def __init__(
        self,
        pipeline: str,
        publisher: Publisher,
        *,
        clock: Clock,
        pause: Callable[[float], bool],
        pacer: Pacer,
        gates: Gates = NO_GATES,
        hooks: Hooks = NO_HOOKS,
        progress: ProgressFile | None = None,
        total: int = 0,
        trace_sample: float = 0.01,
        seed: int | None = None,
    ) -> None:
        self._publisher, self._clock, self._pause, self._pacer = publisher, clock, pause, pacer
        self._gates, self._hooks, self._file, self._total = gates, hooks, progress, total
        self._name = pipeline
        self._topics = {kind: f"{pipeline}.{kind.name.lower()}s" for kind in Kind}
        self._random, self._sample = Random(seed), trace_sample  # noqa: S311 - ids of traces, no secrets
        self._counts = _Counts({})
        self._started = self._saved = self._told = clock.monotonic()
        self._stopped = False

    def run(self, items: Iterable[Item], skipped: Mapping[Kind, int] | None = None) -> Report:
        """Publish all items, or as many as there are before the user stops it.

        Args:
            items: the rest of the plan, in order.
            skipped: how many of each kind were published before; they are not in `items`.

        Raises:
            UserError: a gate stayed shut for too long, or a message could not be delivered; what was acknowledged
                is remembered.
        """
        self._counts = _Counts(dict(skipped or {}))
        self._started = self._saved = self._told = self._clock.monotonic()
        try:
            if (gate := self._gates.features) is not None:
                self._wait_for(Asking(gate.begin), self._gates.features_timeout, _NO_BROKER)
            if (held := self._gates.labels) is not None:
                self._wait_for(Asking(held.begin), self._gates.features_timeout, _NO_BROKER)
            for part in slices(items, SLICE_MS):
                self._slice(part)
                if self._stopped:
                    break
            self._let_go()
            self._save(done=not self._stopped)
        except Unavailable as error:
            raise UserError(
                f"{self._name}: messages could not be written ({error})",
                remedy=_NO_BROKER,
            ) from None
        self._tell()
        return self._report()

    def _slice(self, part: Slice) -> None:
        if not self._wait_for(self._gates.lockstep, self._gates.lockstep_timeout, "go on without --lockstep"):
            return
        if not self._wait_for(self._in_time(part.start), self._gates.lockstep_timeout, "go on without waiting"):
            return
        gate = self._gates.features
        done = gate.sending(part).acknowledged if gate is not None else None
        for item in part.features:
            self._send(item, done)
        if gate is not None and part.has_records:
            self._written(gate, part)
        size, span = self._pacer.chunk
        if self._gates.labels is not None:
            span = min(span, self._gates.labels.span_ms)
        for chunk in chunks(part.others, size, span):
            if self._stopped:
                return
            self._chunk(chunk)

    def _written(self, gate: FeatureGate, part: Slice) -> None:
        if not gate.need(part.end):
            self._publisher.flush(_FLUSH)
            gate.need(part.end)
        remedy = "start the feature writer (`tailrace up`), or use --no-wait-features"
        self._wait_for(gate, self._gates.features_timeout, remedy)

    def _chunk(self, chunk: list[Item]) -> None:
        while (seconds := self._pacer.wait(self._counts.sent[Kind.RECORD], chunk[0].due)) > 0 and not self._stopped:
            self._rest(min(seconds, _TELL_EVERY))
        if self._stopped or not self._wait_for(self._gates.lag) or not self._wait_for(self._abreast(chunk[0].due)):
            return
        for item in chunk:
            self._pass(item)
        self._release()
        messages = self._counts.sent[Kind.RECORD] + self._counts.extras
        if self._hooks.on_sent is not None:
            self._hooks.on_sent(messages)
        now = self._clock.monotonic()
        if now - self._saved >= _SAVE_EVERY:
            self._save()
        if now - self._told >= _TELL_EVERY:
            self._tell()
        self._rest(0.0)

    def _abreast(self, time: int) -> Gate | None:
        """The gate of records: they go on as far as labels of their time can follow."""
        gate = self._gates.labels
        if gate is None:
            return None

        def question() -> str:
            self._release()
            return gate.shut(time)

        return Asking(question)

    def _in_time(self, time: int) -> Gate | None:
        """The gate of records that would be there before a version that their time ought to have; labels go on."""
        gate = self._gates.retraining
        if gate is None:
            return None

        def question() -> str:
            self._release()
            try:
                return gate.shut(time)
            except Unavailable as error:
                return f"trainings cannot be read ({error})"

        return Asking(question)

    def _pass(self, item: Item) -> None:
        """Send a record; a label waits until the scorer has come to its time."""
        if item.kind is Kind.LABEL and (gate := self._gates.labels) is not None:
            gate.hold(item)
        else:
            self._send(item)

    def _release(self) -> None:
        if (gate := self._gates.labels) is not None:
            for item in gate.ready():
                self._send(item)

    def _let_go(self) -> None:
        """The labels that are left, as the scorer comes to them; all of them where none is running."""
        gate = self._gates.labels
        while gate is not None and gate.reason() and not self._stopped:
            self._release()
            if self._clock.monotonic() - self._told >= _TELL_EVERY:
                self._tell(gate.reason())
            self._rest(_LOOK_EVERY)

    def _send(self, item: Item, done: Callable[[int, int], None] | None = None) -> None:
        topic = self._topics[item.kind]
        self._counts.sent[item.kind] += 1
        if item.kind is not Kind.RECORD:
            self._publisher.send(topic, item.key, item.value, None, done)
            return
        self._publisher.send(topic, item.key, item.value, self._trace(), None)
        self._counts.event_time = item.time
        added, extra = 1, self._hooks.extra
        if extra is not None and (value := extra(self._counts.sent[Kind.RECORD])) is not None:
            self._publisher.send(topic, item.key, value, self._trace(), None)
            self._counts.extras += 1
            added = 2
        if self._gates.lag is not None:
            self._gates.lag.sent(added)
        if self._gates.labels is not None:
            self._gates.labels.sent(item.key, added)

    def _trace(self) -> Headers:
        ids = self._random.randbytes(24).hex()
        flags = "01" if self._random.random() < self._sample else "00"
        return [(TRACEPARENT, f"00-{ids[:32]}-{ids[32:]}-{flags}".encode())]

    def _wait_for(self, gate: Gate | None, timeout: float = float("inf"), remedy: str = "") -> bool:
        """Wait until the gate is open; false if the user stopped first."""
        if gate is None:
            return not self._stopped
        until = self._clock.monotonic() + timeout
        while not self._stopped and (reason := gate.reason()):
            if self._clock.monotonic() >= until:
                self._save()
                raise UserError(f"{self._name}: after {timeout:.0f} s still waiting: {reason}", remedy=remedy)
            if self._clock.monotonic() - self._told >= _TELL_EVERY:
                self._tell(reason)
            self._rest(_LOOK_EVERY)
        return not self._stopped

    def _rest(self, seconds: float) -> None:
        self._stopped = self._pause(seconds) or self._stopped

    def _save(self, *, done: bool = False) -> None:
        self._publisher.flush(_FLUSH)
        self._saved = self._clock.monotonic()
        if self._file is not None:
            self._file.save(self._counts.total(), self._counts.event_time, done=done)

    def _tell(self, holding: str = "") -> None:
        self._told = self._clock.monotonic()
        if self._hooks.on_progress is None:
            return
        sent, seconds = self._counts.sent, max(1e-9, self._told - self._started)
        share = self._counts.total()[Kind.RECORD] / self._total if self._total else 1.0
        self._hooks.on_progress(
            Progress(
                self._counts.event_time,
                sent[Kind.RECORD],
                sent[Kind.FEATURE],
                sent[Kind.LABEL],
                sent[Kind.RECORD] / seconds,
                self._lag(),
                share,
                holding,
            )
        )

    def _lag(self) -> int:
        gate = self._gates.lag
        if gate is None:
            return -1
        try:
            return gate.ask()
        except Unavailable:
            return gate.lag

    def _report(self) -> Report:
        sent, seconds = self._counts.sent, max(1e-9, self._clock.monotonic() - self._started)
        return Report(
            pipeline=self._name,
            ok=not self._stopped,
            records=sent[Kind.RECORD],
            features=sent[Kind.FEATURE],
            labels=sent[Kind.LABEL],
            extras=self._counts.extras,
            bad_rows=0,
            resumed_at=self._counts.before.get(Kind.RECORD, 0),
            event_time=self._counts.event_time,
            interrupted=self._stopped,
            wall_s=round(seconds, 3),
            records_per_s=round(sent[Kind.RECORD] / seconds, 1),
        )
