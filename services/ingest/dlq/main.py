"""Wiring of the commands about dead letters: topics, ledger and producer made into listings and replays."""

import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from typing import Any

from services.ingest.dlq.box import LetterBox
from services.ingest.dlq.listing import listing
from services.ingest.dlq.replayer import Chooser, Mark, Route, Sender, line_of, no_mark
from services.ingest.dlq.terms import Listing, Progress, Report, Shown, no_progress
from shared.adapters.kafka.config import client_config
from shared.adapters.kafka.sink import KafkaSink
from shared.core.dlq import Letter, Selection, judge, letter_topics, missing, source_of
from shared.core.errors import Fenced, LogError, TailraceError, Unavailable, UserError
from shared.core.pipeline import PipelineSpec
from shared.core.topics import TopicName
from shared.runtime.clock import SystemClock
from shared.runtime.settings import Settings, read_secret


def list_letters(
    spec: PipelineSpec,
    settings: Settings,
    names: Sequence[TopicName] = (),
    selection: Selection | None = None,
    progress: Progress = no_progress,
) -> list[Listing]:
    """Dead letters by topic and reason, to the ends of the topics as of now.

    Args:
        spec: the pipeline.
        settings: where Kafka is.
        names: which dead-letter topics; empty: all that exist.
        selection: which letters; all by default.
        progress: told how far the reading is.

    Raises:
        UserError: a topic does not exist, or the broker cannot be reached.
        Unavailable: the broker gives nothing more.
    """
    meant, conf, found = selection or Selection(), _conf(settings), []
    for name in names or letter_topics():
        box = LetterBox(conf, spec.name, name, progress)
        letters = (letter for letter in box.letters(meant) if meant.has(letter))
        found.append(listing(box.topic, letters, box.ledger()))
    return found


def show_letters(
    spec: PipelineSpec,
    settings: Settings,
    name: TopicName,
    selection: Selection,
    count: int,
    progress: Progress = no_progress,
) -> list[Shown]:
    """The newest letters that are meant, oldest first, and what a replay would do with each.

    Raises:
        UserError: no letter stands at a named position; a topic does not exist, or the broker cannot be reached.
        Unavailable: the broker gives nothing more.
    """
    box = LetterBox(_conf(settings), spec.name, name, progress)
    ledger, newest = box.ledger(), deque[Letter](maxlen=count)
    newest.extend(letter for letter in box.letters(selection) if selection.has(letter))
    _all_found(selection, {letter.at for letter in newest}, spec.name)
    superseded = _superseded(box)
    return [
        Shown(letter=one, verdict=judge(one, selection, ledger, superseded=superseded(one)))
        for one in sorted(newest, key=lambda letter: (letter.logged, letter.at))
    ]


def replay_letters(
    spec: PipelineSpec,
    settings: Settings,
    name: TopicName,
    selection: Selection,
    *,
    limit: int = 0,
    dry_run: bool = False,
    progress: Progress = no_progress,
    mark: Mark = no_mark,
) -> Report:
    """Send letters into their source topic again, each once, whoever was killed in between.

    Args:
        spec: the pipeline.
        settings: where Kafka is, and how long a transaction may take.
        name: the dead-letter topic.
        selection: which letters.
        limit: at most so many; 0: no limit.
        dry_run: send nothing, and begin no transaction.
        progress: told how far the reading is.
        mark: called at each named step of a delivery.

    Raises:
        UserError: no letter stands at a named position; a topic does not exist, or the broker cannot be reached.
        TailraceError: the broker went away (Unavailable), or another replay of the same topic began; what was sent is
            remembered.
    """
    conf = _conf(settings)
    box = LetterBox(conf, spec.name, name, progress)
    route = Route(spec.name, box.topic, box.into, box.partitions(), box.ledger_topic)
    if selection.positions:
        _all_found(selection, {letter.at for letter in box.letters(selection)}, spec.name)
    if dry_run:
        chooser = Chooser(selection, box.ledger(), limit, _superseded(box))
        lines = [line_of(letter) for letter in chooser.choose(box.letters(selection))]
        return chooser.report(route, lines)
    with closing(_sink(conf, spec, settings, name)) as sink:
        chooser, sender = Chooser(selection, box.ledger(), limit, _superseded(box)), Sender(sink, route, mark)
        try:
            sender.send(chooser.choose(box.letters(selection)))
        except LogError as error:
            raise _interrupted(error, route, sender.sent) from error
    return chooser.report(route)


def _sink(conf: Mapping[str, Any], spec: PipelineSpec, settings: Settings, name: TopicName) -> KafkaSink:
    """One id a pipeline and topic: of two replays at once the later one fences the earlier one off."""
    limits = settings.loop
    try:
        return KafkaSink(
            {**conf, "logger": _quiet()},
            transactional_id=f"tailrace.{spec.name}.dlq.{source_of(name)}",
            transaction_timeout=limits.transaction_timeout,
            call_timeout=limits.call_timeout,
            clock=SystemClock(),
        )
    except LogError as error:
        raise Unavailable(f"the producer of the replay could not begin ({error})") from error


def _quiet() -> logging.Logger:
    """Being fenced is raised as an error; the client would print it besides, whatever its log level."""
    return logging.Logger("librdkafka", logging.CRITICAL + 1)  # noqa: LOG001 - no setting of the process may wake it


def _superseded(box: LetterBox) -> Callable[[Letter], bool]:
    """Whether a newer good value of a letter's key stands in a source that keeps only the newest; else never."""
    if not box.compacted:
        return lambda _: False
    newest = box.newest_good()

    def superseded(letter: Letter) -> bool:
        source = letter.source
        return source is not None and newest.get((source.partition, letter.key or b""), -1) > source.offset

    return superseded


def _interrupted(error: LogError, route: Route, sent: int) -> TailraceError:
    done = f"{sent:,} letters of {route.topic} were sent before"
    if isinstance(error, Fenced):
        return TailraceError(f"another replay of {route.topic} began and took over; {done}")
    return Unavailable(f"the replay was interrupted ({error}); {done}: run it again, it sends only what is left")


def _all_found(selection: Selection, found: set[Any], pipeline: str) -> None:
    if absent := missing(selection.positions, found):
        raise UserError(
            f"no dead letter stands at {', '.join(absent)}",
            remedy=f"look with `tailrace dlq list {pipeline}`; retention deletes old ones",
        )


def _conf(settings: Settings) -> dict[str, Any]:
    return client_config(settings.kafka, read_secret)
