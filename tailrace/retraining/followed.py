"""What became of a wish: the request that serves it, and the training that answers the request."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing

import msgspec

from shared.adapters.kafka.config import client_config
from shared.adapters.kafka.table import TableReader
from shared.core.asks import Ask
from shared.core.monitor_records import RetrainRequest
from shared.core.pipeline import PipelineSpec
from shared.core.retraining import ENDED, Book, Training
from shared.core.topics import TopicName, topic
from shared.runtime.settings import Settings, read_secret
from tailrace.retraining.listed import gate_of

POLL = 0.5  # s
Say = Callable[[str], None]


class Followed(msgspec.Struct, frozen=True):
    """The wish; the request that serves it, empty while there is none; its training, if there is one."""

    ask: Ask
    request: str = ""
    training: Training | None = None


def follow(spec: PipelineSpec, settings: Settings, ask: Ask, seconds: float, say: Say) -> Followed:
    """Wait until the wish has its answer, or for so long.

    Raises:
        Unavailable: the broker does not answer.
    """
    conf, timeout = client_config(settings.kafka, read_secret), settings.loop.call_timeout * 2

    def reader(name: TopicName) -> TableReader:
        return TableReader(conf, topic(spec.name, name), timeout)

    found, deadline = Followed(ask), time.monotonic() + seconds
    with closing(reader("retrain")) as requests, closing(reader("trainings")) as trainings:
        known: dict[str, Training] = {}
        while time.monotonic() < deadline:
            known.update((one.id, one) for one in _trainings(trainings))
            request = found.request or next((one.id for one in _requests(requests) if serves(one, ask)), "")
            before, found = found, Followed(ask, request, known.get(request))
            _tell(before, found, say)
            if found.training is not None and found.training.state in ENDED:
                break
            time.sleep(POLL)
    return found


def serves(request: RetrainRequest, ask: Ask) -> bool:
    """Whether a request was made for this wish, alone or among others."""
    named = (request.block, *(reason.reasons[0] if reason.reasons else "" for reason in request.reasons))
    return any(ask.id in words for words in named)


def answer_of(found: Followed) -> str:
    """The answer in one line."""
    if not found.request:
        return f"asked as {found.ask.id}; no request yet: the analyst keeps it until the cool-down's end"
    one = found.training
    if one is None:
        return f"requested as {found.request}; no answer yet: does the retrainer run?"
    version = f"version {one.challenger.version} is the challenger" if one.challenger else ""
    return " · ".join(part for part in (one.id[:12], one.state, version, gate_of(one), one.reason) if part)


def _tell(before: Followed, now: Followed, say: Say) -> None:
    if now.request != before.request:
        say(f"requested as {now.request}")
    state = now.training.state if now.training else ""
    if state and state != (before.training.state if before.training else ""):
        say(state)


def _requests(reader: TableReader) -> Iterator[RetrainRequest]:
    for value in reader.to_end():
        try:
            yield msgspec.json.decode(value, type=RetrainRequest)
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue


def _trainings(reader: TableReader) -> Iterator[Training]:
    for value in reader.to_end():
        one = msgspec.json.decode(value, type=Book | Training)
        if isinstance(one, Training):
            yield one
