"""One scorer worker: `python -m services.scorer.main PIPELINE`. Wiring only; `tailrace scorer` runs several."""

import sys

from services.scorer.heartbeat import Heart
from services.scorer.models import ModelStore
from services.scorer.shifts import Shifts
from services.scorer.speeds import Speeds
from services.scorer.step import ScorerStep
from services.scorer.versions import Versions
from shared.adapters.kafka.announcer import Announcer
from shared.adapters.kafka.table import TableReader
from shared.adapters.redis_features import RedisReader
from shared.core.codec import RecordCodec
from shared.core.privacy import Redactor
from shared.core.records import Rollout
from shared.core.topics import TopicName, topic
from shared.runtime.breaker import Breaker
from shared.runtime.cache import FeatureCache
from shared.runtime.controls import Barriers
from shared.runtime.follow import RolloutFollower, application_block, applications_from
from shared.runtime.loop import Loop
from shared.runtime.probe import Probe
from shared.runtime.secrets import privacy_secret
from shared.runtime.worker import Worker, build_loop, exit_code, redis_address, run_worker, worker


def main(where: str) -> None:
    """Score one pipeline until told to stop.

    Raises:
        UserError: the pipeline file, a setting or a time-out is wrong.
    """
    with worker("scorer", where, checks=("assignment", "cache", "model")) as w:
        spec, settings = w.pipeline.spec, w.settings
        codec = RecordCodec(spec)
        redactor = Redactor(spec.privacy, spec.record, privacy_secret(settings.privacy, spec.privacy))
        store = ModelStore(spec, settings, w.metrics, w.clock)
        versions = Versions(spec, codec, store, w.health)
        follower = RolloutFollower(_reader(w, "models"), spec.name, lambda _: None)
        versions.follow(follower.refresh(True))
        speeds = Speeds(w.clock)
        cache = _cache(w)
        topics = (topic(spec.name, "predictions"), topic(spec.name, "journal"))
        step = ScorerStep(spec, codec, cache, versions.scoring, redactor, topics, w.metrics, w.tracer, speeds)
        probe = Probe(
            pipeline=spec.name, topic=topic(spec.name, "records"), metrics=w.metrics, health=w.health,
            tracer=w.tracer, clock=w.clock,
        )  # fmt: skip
        controls = Barriers(
            follower.refresh,
            applications_from(_reader(w, "rollouts")),
            application_block(topic(spec.name, "rollouts")),
            local=spec.rollout.activation == "local",
        )
        announcer = Announcer(w.kafka, settings.loop.call_timeout)
        heart = Heart(
            w.name, topic(spec.name, "workers"), announcer.post, probe, store, w.clock, settings.loop.heartbeat,
            acts=versions.acts, also=lambda: versions.tend(set(probe.epochs.values())), speeds=speeds,
            given_up=lambda: versions.given_up,
        )  # fmt: skip

        def begin() -> Loop:
            return build_loop(
                w, step, source="records", letters="records.dlq", probe=probe, controls=controls,
                withhold=redactor.body if redactor.active else None,
                withhold_key=redactor.key if redactor.active else None, ahead=True,
            )  # fmt: skip

        shifts = Shifts(begin, versions, follower.refresh, w.health.turn, w.clock)

        def changed(rollout: Rollout) -> None:
            versions.announced(rollout)
            if rollout.state == "revoked" and probe.halted:  # perhaps by the version that is now withdrawn
                shifts.again()

        follower.changed = changed
        heart.start()
        try:
            run_worker(shifts)
        finally:
            heart.stop()
            announcer.close()


def _reader(w: Worker, name: TopicName) -> TableReader:
    return TableReader(w.kafka, topic(w.pipeline.spec.name, name), w.settings.loop.call_timeout * 2)


def _cache(w: Worker) -> FeatureCache:
    redis = w.settings.redis
    w.health.set("cache", True, "down means degraded predictions, by the pipeline's policy")
    return FeatureCache(
        RedisReader(redis_address(redis)),
        w.pipeline.spec.lookups,
        w.pipeline.spec.name,
        w.clock,
        w.metrics,
        local_max_age=redis.local_max_age,
        timeout=redis.timeout,
        breaker=Breaker(redis.breaker_failures, redis.breaker_reset, w.clock, w.metrics),
    )


if __name__ == "__main__":
    sys.exit(exit_code(lambda: main(sys.argv[1])))
