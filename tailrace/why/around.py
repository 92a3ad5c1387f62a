"""What else `journal` says of one record: its labels, what shadows answered, whether it was scored more than once."""

from collections.abc import Iterator
from dataclasses import dataclass

from shared.core.errors import Unavailable
from shared.core.monitor_records import LabelEntry
from shared.core.records import Observation
from tailrace.why.entries import Blocks, Say, entry_of, words_of
from tailrace.why.locate import BLOCK
from tailrace.why.terms import Place, Truth


@dataclass(frozen=True, slots=True)
class Around:
    """The observation itself, the label in force, and observations of the same record by others."""

    observation: Observation
    label: Truth | None
    shadows: tuple[Observation, ...]
    again: int


def around(blocks: Blocks, place: Place, bounds: tuple[int, int], say: Say) -> Around:
    """Read on from an observation to the end of its partition, where its label comes; and a little before it.

    Args:
        blocks: of `journal`.
        place: of the observation.
        bounds: the journal's first offset in that partition, and the one after its last.
        say: told where much is to be read.

    Raises:
        Unavailable: the observation is not there any more.
    """
    (message,) = blocks.block(place.partition, place.offset, place.offset + 1) or (None,)
    found = entry_of(message) if message is not None else None
    if not isinstance(found, Observation):
        raise Unavailable(f"journal[{place.partition}]@{place.offset} is not there any more: retention took it")
    start = max(bounds[0], place.offset - BLOCK)
    if bounds[1] - start > 10 * BLOCK:
        say(f"reading {bounds[1] - start:,} entries after it for its label")
    entries = list(_about(blocks, place.partition, start, bounds[1], found.prediction.id))
    seen = [one for one in entries if isinstance(one, Observation) and one.prediction.at == found.prediction.at]
    labels = sorted((one for one in entries if isinstance(one, LabelEntry)), key=lambda one: one.label.revision)
    return Around(
        found,
        _truth(labels),
        tuple(one for one in seen if one.shadow),
        sum(not one.shadow for one in seen) - 1,
    )


def _about(blocks: Blocks, partition: int, start: int, end: int, name: str) -> Iterator[Observation | LabelEntry]:
    words = words_of(name)
    for begin in range(start, end, BLOCK):
        for message in blocks.block(partition, begin, min(begin + BLOCK, end)):
            if words not in (message.value() or b""):
                continue
            entry = entry_of(message)
            if entry is not None and name == (entry.label.id if isinstance(entry, LabelEntry) else entry.prediction.id):
                yield entry


def _truth(labels: list[LabelEntry]) -> Truth | None:
    """The label with the highest revision; of equal ones the first, as the observer decides."""
    if not labels:
        return None
    highest = labels[-1].label.revision
    last = next(one for one in labels if one.label.revision == highest)
    earlier = len({one.label.revision for one in labels}) - 1
    return Truth(last.label.value, last.label.time, last.label.revision, last.at, earlier)
