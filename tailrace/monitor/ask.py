"""Sending an operator's wish to the analyst."""

import time
from contextlib import closing
from secrets import token_hex

import msgspec

from shared.adapters.kafka.announcer import Announcer
from shared.adapters.kafka.config import client_config
from shared.core.asks import LONGEST, Ask
from shared.core.errors import UserError
from shared.core.pipeline import PipelineSpec
from shared.core.topics import topic
from shared.runtime.settings import Settings, read_secret


def send_ask(spec: PipelineSpec, settings: Settings, reason: str) -> Ask:
    """Write a wish to `asks` and wait until the broker has it.

    Args:
        spec: the pipeline.
        settings: how to reach Kafka.
        reason: why, in words.

    Raises:
        UserError: no reason, or a very long one.
        Unavailable: the broker does not take it.
    """
    words = " ".join(reason.split())
    if not words:
        raise UserError("--reason is empty", remedy="say why, for whoever reads the request")
    if len(words) > LONGEST:
        raise UserError(f"--reason has {len(words)} characters", remedy=f"it may have {LONGEST}")
    ask = Ask(token_hex(8), time.time_ns() // 1_000_000, words)
    with closing(Announcer(client_config(settings.kafka, read_secret), settings.loop.call_timeout * 2)) as announcer:
        announcer.send(topic(spec.name, "asks"), ask.id.encode(), msgspec.json.encode(ask))
    return ask
