"""What every data-plane process has around its loop: settings, logs, metrics, health, traces, signals, exit codes."""

import gc
import logging
import os
import platform
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Protocol

from prometheus_client import CollectorRegistry

from shared.adapters.kafka.admin import KafkaAdmin
from shared.adapters.kafka.config import client_config
from shared.adapters.kafka.sink import KafkaSink
from shared.adapters.kafka.source import KafkaSource, consumer_config
from shared.adapters.pipeline_yaml import Pipeline, load_pipeline
from shared.adapters.prometheus import PrometheusMetrics, render
from shared.adapters.redis_features import RedisAddress
from shared.adapters.tracing import make_tracer
from shared.core.deadletter import Withhold, dead_letters
from shared.core.errors import Fenced, ModelRefused, TailraceError, Unavailable, UserError
from shared.core.metrics import Metrics
from shared.core.pacing import Pacer
from shared.core.ports import Clock, Listener, Source, Step, Tracer
from shared.core.refill import Refill
from shared.core.topics import TopicName, needed_bytes, topic
from shared.runtime.aligned import FETCH_BYTES, AlignedSource, Moment
from shared.runtime.clock import SystemClock
from shared.runtime.controls import Controls, NoControls
from shared.runtime.delivery import AtLeastOnce, Delivery, ExactlyOnce
from shared.runtime.health import Health
from shared.runtime.http import HealthServer
from shared.runtime.logs import FORMAT_VARIABLE, FORMATS, configure, get_logger
from shared.runtime.loop import Loop
from shared.runtime.probe import Probe
from shared.runtime.settings import RedisSettings, Settings, load_settings, read_secret
from shared.runtime.timeouts import check_timeouts
from shared.runtime.under_way import Thread
from shared.runtime.watchdog import Watchdog

EXIT_ANSWER_NO, EXIT_CONFIGURATION, EXIT_MODEL, EXIT_FENCED = 1, 2, 3, 4
CLIENT_BYTES = 1_000_000  # of one message, by librdkafka's default
MAX_TURN_AGE = 90.0  # s without a turn of the loop after which the process counts as dead
# A batch of 10,000 has some 30,000 objects that go with it by themselves: by default the collector would walk through
# them forty times, and through everything every second batch (a twentieth of a record's time).
COLLECT = (200_000, 50, 100)


@dataclass(frozen=True, slots=True)
class Worker:
    """One process: its pipeline, its settings, and what it is seen by."""

    service: str
    name: str
    pipeline: Pipeline
    settings: Settings
    clock: Clock
    metrics: Metrics
    health: Health
    tracer: Tracer
    watchdog: Watchdog
    kafka: dict[str, Any]

    @property
    def group(self) -> str:
        """The consumer group of this service."""
        return f"tailrace.{self.pipeline.spec.name}.{self.service}"


@contextmanager
def worker(service: str, where: str, checks: tuple[str, ...]) -> Iterator[Worker]:
    """Open a process around a loop, and close what it opened.

    Args:
        service: `scorer`, `features` ...; part of the group, the transactional id and the logs.
        where: the pipeline's folder, file or name.
        checks: what the process needs to be ready.

    Raises:
        UserError: the pipeline file, a setting or a port is wrong.
    """
    _configure_early(service)
    settings, warnings = load_settings()
    configure(service, settings.log.level, settings.log.format)
    log = get_logger(service)
    for warning in warnings:
        log.warning(warning)
    pipeline = load_pipeline(where)
    name = f"{service}-{settings.worker.slot}"
    clock, registry = SystemClock(), CollectorRegistry()
    metrics = PrometheusMetrics(registry)
    metrics.gauge(
        "tailrace_build_info", 1, service=service, pipeline=pipeline.spec.name, version=version("tailrace"),
        python=platform.python_version(),
    )  # fmt: skip
    if settings.worker.restarts:
        metrics.count("tailrace_worker_restarts_total", settings.worker.restarts, reason=settings.worker.last_exit)
    health = Health(clock, max_turn_age=MAX_TURN_AGE, checks=checks)
    tracing = settings.tracing
    tracer = make_tracer(tracing.otlp_endpoint, service=service, instance=name, metrics=metrics, rate=tracing.sample)
    watchdog = Watchdog(clock, settings.loop.step_budget)
    server = HealthServer(
        health, render=lambda: render(registry), metrics=metrics, host=settings.http.host, port=settings.http.port
    )
    kafka = client_config(settings.kafka, read_secret)
    kafka["client.id"] = f"tailrace-{pipeline.spec.name}-{name}"
    if (largest := needed_bytes(pipeline.spec, "journal")) > CLIENT_BYTES:
        kafka["message.max.bytes"] = largest  # or the client refuses the outcome of a good record, again and again
    kafka["logger"] = logging.getLogger("librdkafka")  # one JSON line an event, the client's own words too
    watchdog.start()
    try:
        yield Worker(service, name, pipeline, settings, clock, metrics, health, tracer, watchdog, kafka)
    finally:
        server.close()
        tracer.close()
        watchdog.stop()


def _configure_early(service: str) -> None:
    """Before the settings are known: what is wrong with them is told where and how everything else is."""
    configure(service, fmt="auto" if os.environ.get(FORMAT_VARIABLE, "auto") in FORMATS else "json")


def build_loop(
    w: Worker,
    step: Step,
    *,
    source: TopicName,
    letters: TopicName,
    probe: Probe,
    controls: Controls | None = None,
    withhold: Withhold | None = None,
    withhold_key: Withhold | None = None,
    exactly_once: bool | None = None,
    refill: Refill | None = None,
    moment: Moment | None = None,
    ahead: bool = False,
) -> Loop:
    """The loop of a service on a real Kafka.

    Args:
        w: the process.
        step: the service's logic.
        source: the input topic.
        letters: the dead-letter topic.
        probe: what the world may see.
        controls: follows rollouts; none by default.
        withhold: makes a dead letter's body fit to leave.
        withhold_key: the same for its key.
        exactly_once: overrides the pipeline's guarantee.
        refill: says when to read from the beginning again; at least once only.
        moment: the event time of a record, where partitions are to be read side by side in event time.
        ahead: go on with the next batch while a transaction is under way, where records queue up.

    Raises:
        UserError: time-outs contradict each other or the broker's limits; the broker cannot be reached.
    """
    spec, limits = w.pipeline.spec, w.settings.loop
    classic = w.settings.kafka.group_protocol == "classic"
    check_timeouts(limits, _broker_limits(w), classic=classic)
    transactional = spec.delivery.guarantee == "exactly_once" if exactly_once is None else exactly_once
    input_topic, letter_topic = topic(spec.name, source), topic(spec.name, letters)
    log = get_logger("source")

    def gap(partition: int, start: int, end: int) -> None:
        """Retention was faster than we: the records are gone, and nobody may believe otherwise."""
        w.metrics.count("tailrace_records_total", end - start, pipeline=spec.name, outcome="skipped")
        log.error("records lost to retention", partition=partition, first=start, last=end - 1, records=end - start)

    sink = KafkaSink(
        w.kafka,
        transactional_id=f"{w.group}.{w.settings.worker.slot}" if transactional else "",
        transaction_timeout=limits.transaction_timeout,
        call_timeout=limits.call_timeout,
        clock=w.clock,
        turn=w.health.turn,
    )
    conf = consumer_config(
        w.kafka,
        group=w.group,
        group_protocol=w.settings.kafka.group_protocol,
        session_timeout=limits.session_timeout,
        max_poll_interval=limits.max_poll_interval,
    )
    if w.settings.kafka.static_membership:
        conf["group.instance.id"] = w.name
    if moment is not None:
        conf["fetch.message.max.bytes"] = FETCH_BYTES

    def take(listener: Listener) -> KafkaSource:
        return KafkaSource(
            conf, topic=input_topic, listener=listener, call_timeout=limits.call_timeout, gap=gap, marks=probe.marks,
            refill=refill,
        )  # fmt: skip

    def connect(loop: Loop) -> tuple[Source, Delivery]:
        taken = take(loop) if moment is None else AlignedSource(take, loop, moment, w.clock)
        if transactional:
            return taken, ExactlyOnce(sink, w.watchdog, w.clock)
        return taken, AtLeastOnce(sink, taken, w.watchdog)

    return Loop(
        connect=connect,
        step=step,
        controls=controls or NoControls(),
        letters=lambda rejects: dead_letters(letter_topic, input_topic, rejects, withhold, withhold_key),
        pacer=Pacer(
            max_batch=spec.delivery.max_batch,
            latency_target=spec.delivery.latency_target,
            gather=spec.delivery.gather,
        ),
        limit=spec.delivery.dead_letters,
        probe=probe,
        clock=w.clock,
        background=Thread() if ahead and transactional else None,
    )


def _broker_limits(w: Worker) -> Mapping[str, int]:
    try:
        return KafkaAdmin(w.kafka, timeout=w.settings.loop.call_timeout * 2).broker().limits
    except UserError as error:  # a broker that is not there yet: come again later, which exit code 2 would forbid
        raise Unavailable(str(error)) from error


def redis_address(settings: RedisSettings) -> RedisAddress:
    """Where the feature cache is, with its password read from the file that the settings name.

    Raises:
        UserError: the file cannot be read.
    """
    password = read_secret(settings.password_file, setting="redis.password_file") if settings.password_file else ""
    return RedisAddress(settings.url, settings.username, password, settings.ca_file)


class Runs(Protocol):
    """A loop, or what runs several of them."""

    def run(self) -> None:
        """Until stopped."""

    def stop(self) -> None:
        """Come to an end in order. Called from a signal handler."""


def run_worker(loop: Runs) -> None:
    """Run a loop until SIGTERM or SIGINT; the batch in hand is finished first."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: loop.stop())
    gc.collect()
    gc.freeze()  # what the start made stays: the collector need not walk through it again (a seventh of a step's time)
    gc.set_threshold(*COLLECT)
    loop.run()


def exit_code(main: Callable[[], None]) -> int:
    """Run a process's main and turn what it raises into an exit code and one line on standard error.

    0 stopped in order, 2 wrong configuration (a supervisor must not start it again), 3 the model of the epoch in force
    was refused, 4 another worker has our transactional id, 1 anything else that Tailrace raises.
    """
    codes = {UserError: EXIT_CONFIGURATION, ModelRefused: EXIT_MODEL, Fenced: EXIT_FENCED}
    try:
        main()
    except TailraceError as error:
        get_logger("worker").error("ended", error=str(error), kind=type(error).__name__)
        sys.stderr.flush()
        return next((code for kind, code in codes.items() if isinstance(error, kind)), EXIT_ANSWER_NO)
    return 0
