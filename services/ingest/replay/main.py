"""Wiring of the replay: files, topics, gates and pace made into one `Replayer`."""

import threading
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import msgspec

from services.ingest.replay.gates import FeatureGate, LagGate
from services.ingest.replay.held import LabelGate, Reader
from services.ingest.replay.lockstep import LockstepGate, NoTrainings, Trainings
from services.ingest.replay.pacing import Pacer
from services.ingest.replay.plan import Selection
from services.ingest.replay.progress import ProgressFile, Stored, fingerprint
from services.ingest.replay.replayer import Replayer
from services.ingest.replay.retraining import RetrainingGate
from services.ingest.replay.retraining_news import KafkaNews
from services.ingest.replay.rollouts import KafkaRollouts
from services.ingest.replay.source import BadRows, Files, ReplaySource
from services.ingest.replay.terms import NO_HOOKS, Gates, Hooks, Report
from shared.adapters.kafka.config import client_config
from shared.adapters.kafka.positions import GroupPositions
from shared.adapters.kafka.publisher import KafkaPublisher
from shared.adapters.tables import read_rows
from shared.core.errors import UserError
from shared.core.pipeline import PipelineSpec
from shared.core.topics import topic
from shared.runtime.clock import SystemClock
from shared.runtime.settings import KafkaSettings, read_secret


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How to replay.

    `rate` in records/s and `speed` in seconds of event time a second (0: no limit; not both), `max_lag` in records
    (0: no limit), `lead_ms` how far ahead features go, `wait_labels` whether labels and records wait for
    each other. Records wait for the first `wait_retrainings` trainings and for what comes of them, and until then for
    the monitor (0: for none). `state` is the folder that remembers progress.
    """

    state: Path
    selection: Selection = Selection(lead_ms=86_400_000)
    rate: float = 0.0
    speed: float = 0.0
    resume: bool = False
    bad_rows: BadRows = "refuse"
    wait_features: bool = True
    wait_labels: bool = True
    max_lag: int = 20_000
    lockstep: bool = False
    wait_retrainings: int = 0
    trace_sample: float = 0.01
    seed: int | None = None


def replay(
    spec: PipelineSpec,
    files: Files,
    kafka: KafkaSettings,
    options: Options,
    *,
    hooks: Hooks = NO_HOOKS,
    stop: threading.Event | None = None,
    trainings: Trainings | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Report:
    """Publish a pipeline's history (or a file of records) as it would have come.

    A replay that was killed and goes on with `resume` sends again what was not known to be acknowledged, at most the
    last second; it never leaves anything out. Ids make the repetition visible: they are those of the records.

    Args:
        spec: the pipeline.
        files: where records, features and labels are.
        kafka: how to reach the log.
        options: what to send, how fast, and what to wait for.
        hooks: who listens in.
        stop: set it to end early; what was sent is then acknowledged and remembered.
        trainings: open trainings, for lockstep.
        say: told in one line what is worth knowing.

    Raises:
        UserError: files, topics or options are wrong, or a wait took too long.
    """
    if options.rate and options.speed:
        raise UserError("both a rate and a speed are given", remedy="choose one")
    say(f"reading {files.records.name}")
    source = ReplaySource(spec, files, read_rows, options.selection, options.bad_rows)
    code = fingerprint((files.records, files.features, files.labels), options.selection)
    file = ProgressFile(options.state / "replay", spec.name, code)
    stored = _begin(file, say, spec, code, resume=options.resume)
    with ExitStack() as stack:
        conf = client_config(kafka, read_secret)
        clock, stopping = SystemClock(), stop or threading.Event()
        replayer = Replayer(
            spec.name,
            KafkaPublisher(conf),
            clock=clock,
            pause=stopping.wait,
            pacer=Pacer(clock, rate=options.rate, speed=options.speed),
            gates=_gates(spec, conf, options, stack, trainings or NoTrainings()),
            hooks=hooks,
            progress=file,
            total=source.extent.records,
            trace_sample=options.trace_sample,
            seed=options.seed,
        )
        report = replayer.run(source.items(stored.skip), stored.skip)
    return msgspec.structs.replace(report, bad_rows=source.bad)


def _begin(file: ProgressFile, say: Callable[[str], None], spec: PipelineSpec, code: str, *, resume: bool) -> Stored:
    if not resume:
        return Stored(spec.name, code)
    stored = file.load()
    say(
        f"going on after record {stored.records:,}; the last second before the interruption may be sent twice"
        if any(stored.skip.values())
        else "nothing is remembered of these files and options: starting at the first record"
    )
    return stored


def _gates(spec: PipelineSpec, conf: dict[str, Any], options: Options, stack: ExitStack, trainings: Trainings) -> Gates:
    def positions(group: str, name: str) -> GroupPositions:
        return stack.enter_context(closing(GroupPositions(conf, group, name)))

    scorer = f"tailrace.{spec.name}.scorer"
    records = positions(scorer, topic(spec.name, "records"))
    lag = LagGate(records, scorer, options.max_lag)
    features = lockstep = None
    if spec.lookups and options.wait_features:
        writer = f"tailrace.{spec.name}.features"
        features = FeatureGate(positions(writer, topic(spec.name, "features")), writer)
    if options.lockstep:
        view = stack.enter_context(closing(KafkaRollouts(conf, spec.name)))
        local = spec.rollout.activation == "local"
        lockstep = LockstepGate(view, records.partitions, trainings, lag.ask, local=local)
    labels = retraining = None
    if options.wait_retrainings:
        # The monitor looks at a window when it is over everywhere, and at its labels when they had their time.
        ahead = int((2 * spec.monitoring.window + spec.labels.horizon) * 1_000)
        news = stack.enter_context(closing(KafkaNews(conf, spec.name)))
        retraining = RetrainingGate(news, SystemClock(), ahead, options.wait_retrainings)
    if options.wait_labels and options.selection.labels:
        router, sent = f"tailrace.{spec.name}.labels", topic(spec.name, "labels")
        routed = positions(router, sent)
        # Half of the horizon is left to the labels themselves, which come as late as they came.
        labels = LabelGate(
            Reader(records, scorer, records.partitions), Reader(routed, router, routed.partitions),
            int(spec.labels.horizon * 500), SystemClock(),
        )  # fmt: skip
    return Gates(features=features, lag=lag, labels=labels, lockstep=lockstep, retraining=retraining)
