"""All of `tailrace why`: find an observation, open its version, take its answer apart. It writes nothing."""

from contextlib import closing
from pathlib import Path

from shared.adapters.kafka.blocks import BlockReader
from shared.adapters.kafka.config import client_config
from shared.adapters.kafka.table import TableReader
from shared.core.errors import UserError
from shared.core.pipeline import PipelineSpec
from shared.core.ports import Message
from shared.core.topics import topic
from shared.runtime.secrets import privacy_secret
from shared.runtime.settings import Settings, read_secret
from tailrace.why.around import around
from tailrace.why.asked import Locator, Scan, asked
from tailrace.why.bundle import ref_of
from tailrace.why.entries import Blocks, Head, Say, head_of
from tailrace.why.locate import at_locator, newest
from tailrace.why.tell import told
from tailrace.why.terms import Place, Why

TIMEOUT = 30.0  # s that the broker has for an answer


def explain(
    spec: PipelineSpec, settings: Settings, which: str, key: str, say: Say, *, contributions: bool = False,
    state: Path | None = None,
) -> Why | None:  # fmt: skip
    """Explain one answer; None where there is none.

    Args:
        spec: the pipeline.
        settings: where Kafka, the bundles and MLflow are.
        which: a locator in `records`, or an id.
        key: an entity, whose newest answer is meant.
        say: told how far a long reading is.
        contributions: for trees too, which takes seconds.
        state: the state folder, with the key that bundles are signed by; None: that of this process.

    Raises:
        UserError: what is asked for cannot be understood, or the broker cannot be reached.
        Unavailable: the broker stops to answer.
    """
    wanted = asked(which, key, spec, _secret(spec, settings))
    conf = client_config(settings.kafka, read_secret)
    with closing(BlockReader(conf, topic(spec.name, "journal"), TIMEOUT)) as blocks:
        marks = blocks.marks()
        place = _place(blocks, marks, wanted, spec, say)
        if place is None:
            return None
        found = around(blocks, place, marks[place.partition], say)
    with closing(TableReader(conf, topic(spec.name, "models"), TIMEOUT)) as models:
        ref = ref_of(models.to_end(), found.observation.digest)
    return told(spec, settings, place, found, ref, say, contributions=contributions, state=state)


def _secret(spec: PipelineSpec, settings: Settings) -> bytes:
    """Empty where there is none: then a personal value can only be asked for by its pseudonym."""
    return privacy_secret(settings.privacy, spec.privacy) if settings.privacy.key_file else b""


def _place(
    blocks: Blocks, marks: dict[int, tuple[int, int]], wanted: Locator | Scan, spec: PipelineSpec, say: Say
) -> Place | None:
    if isinstance(wanted, Scan):
        within = marks if wanted.partition is None else {p: m for p, m in marks.items() if p == wanted.partition}
        return newest(blocks, within, wanted.wanted, say)
    if wanted.partition not in marks:
        raise UserError(f"{wanted}: there is no such partition", remedy=f"there are {len(marks)}, counted from 0")
    bounds = marks[wanted.partition]
    place = at_locator(blocks, wanted.partition, wanted.offset, bounds)
    if place is not None or spec.monitoring.sample < 1.0:  # of a sample, most records are not there
        return place
    at = (wanted.partition, wanted.offset)
    return newest(blocks, {wanted.partition: bounds}, lambda m: _of(m, at), say)


def _of(message: Message, at: tuple[int, int]) -> Head | None:
    head = head_of(message)
    return head if head is not None and head.prediction is not None and head.prediction.at == at else None
