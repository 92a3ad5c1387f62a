"""Which epoch scores which record: cut at barriers, by what `models` says, whatever the batches are."""

from collections.abc import Sequence
from itertools import pairwise

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.core import reasons
from shared.core.records import CONTROL_HEADER, Application, Barrier, Headers, Note, Position
from shared.core.rollout import RolloutTable, Split, last_application, split
from shared.testing.log import MemoryMessage
from tests.support.loops import rollout

CONTROL: Headers = [(CONTROL_HEADER, b"rollout")]


def records(text: str, partition: int = 0, start: int = 0) -> list[MemoryMessage]:
    """A digit is a barrier of that epoch, anything else a record."""
    return [
        MemoryMessage(
            Position("in", partition, start + i),
            b"k",
            msgspec.json.encode(Barrier(int(c))) if c.isdigit() else b"x",
            CONTROL if c.isdigit() else None,
        )
        for i, c in enumerate(text)
    ]


def table(active: str = "", revoked: str = "", announced: str = "") -> RolloutTable:
    """A table with these epochs."""
    made = [rollout(int(e)) for e in active] + [rollout(int(e), "revoked") for e in revoked]
    return RolloutTable(made + [rollout(int(e), "announced") for e in announced])


def epochs(cut: Split) -> dict[tuple[int, int], int]:
    """Which epoch scores which record."""
    return {(m.partition(), m.offset()): part.epoch for part in cut.parts for m in part.messages}


def test_partition_without_history_begins_with_the_oldest_active_epoch() -> None:
    """The first epoch needs no barrier, and its beginning is recorded."""
    cut = split(records("xx"), {0: Note()}, table("23", revoked="1"))
    assert set(epochs(cut).values()) == {2}
    assert cut.applications == [Application(0, 2, 0, "first", "v2", 2)]
    assert cut.notes == {0: Note(2, 2)}


def test_several_barriers_in_one_batch_cut_it_in_several_parts() -> None:
    """Parts come in ascending epoch, each partition's records in order, each with its headers."""
    messages = [*records("x2x3x"), *records("x3x", 1)]
    cut = split(messages, {0: Note(1, 1), 1: Note(1, 1)}, table("123"))
    assert [(part.epoch, [(m.partition(), m.offset()) for m in part.messages]) for part in cut.parts] == [
        (1, [(0, 0), (1, 0)]), (2, [(0, 2)]), (3, [(0, 4), (1, 2)]),
    ]  # fmt: skip
    assert all(len(part.headers) == len(part.messages) for part in cut.parts)
    assert [(a.partition, a.epoch, a.offset) for a in cut.applications] == [(0, 2, 2), (0, 3, 4), (1, 3, 2)]
    assert (cut.notes, cut.controls) == ({0: Note(3, 3), 1: Note(3, 3)}, {"applied": 3})


def test_barrier_at_the_end_of_a_batch_acts_in_the_next() -> None:
    """Its application begins at the offset after it, also where no record has come yet."""
    cut = split(records("x2"), {0: Note(1, 1)}, table("12"))
    assert cut.applications == [Application(0, 2, 2, "barrier", "v2", 2)]
    after = split(records("x", start=2), cut.notes, table("12"))
    assert (set(epochs(after).values()), after.applications) == ({2}, [])


def test_barrier_at_or_below_the_epoch_in_force_is_ignored() -> None:
    """A second barrier of an epoch, or an older one, is a counted no-op."""
    cut = split(records("x2x1x"), {0: Note(2, 2)}, table("12"))
    assert (set(epochs(cut).values()), cut.controls, cut.applications) == ({2}, {"ignored": 2}, [])


def test_barrier_of_an_epoch_that_is_only_announced_or_unknown_is_forged() -> None:
    """The intent is written before the barrier: without it the record is somebody else's, and a dead letter."""
    cut = split(records("x2x9x"), {0: Note(1, 1)}, table("1", announced="2"))
    assert [(r.message.offset(), r.reason) for r in cut.forged] == [
        (1, reasons.FORGED_CONTROL), (3, reasons.FORGED_CONTROL),
    ]  # fmt: skip
    assert (set(epochs(cut).values()), cut.notes[0]) == ({1}, Note(1, 1))


def test_barrier_of_a_revoked_epoch_moves_the_note_and_not_the_version() -> None:
    """It was genuine once; the highest active epoch below it acts."""
    cut = split(records("x3x"), {0: Note(1, 1)}, table("12", revoked="3"))
    assert epochs(cut) == {(0, 0): 1, (0, 2): 2}
    assert cut.notes[0] == Note(3, 2)


def test_revocation_acts_from_the_first_record_of_the_batch() -> None:
    """Without any barrier, and recorded with its cause and the newest barrier."""
    cut = split(records("xx", start=7), {0: Note(2, 2)}, table("1", revoked="2"))
    assert set(epochs(cut).values()) == {1}
    assert cut.applications == [Application(0, 1, 7, "revoked", "v1", 2)]


def test_epoch_after_a_revoked_one_acts_again_by_its_barrier() -> None:
    """A revocation does not stop the next rollout."""
    cut = split(records("x3x"), {0: Note(2, 1)}, table("13", revoked="2"))
    assert (epochs(cut), cut.notes[0]) == ({(0, 0): 1, (0, 2): 3}, Note(3, 3))


def test_partition_without_an_active_epoch_is_stranded_alone() -> None:
    """It is in none of the parts and nothing of it is forged or recorded; others go on."""
    cut = split([*records("x9x"), *records("x", 1)], {0: Note(1, 1), 1: Note(2, 2)}, table("2", revoked="1"))
    assert (cut.stranded, epochs(cut), cut.forged) == ({0}, {(1, 0): 2}, [])


def test_local_takes_the_newest_active_epoch_at_once() -> None:
    """`activation: local`: barriers do not count, the batch's start does."""
    cut = split(records("x2x"), {0: Note(1, 1)}, table("123"), local=True)
    assert set(epochs(cut).values()) == {3}
    assert cut.applications == [Application(0, 3, 0, "local", "v3", 3)]
    back = split(records("x", start=3), cut.notes, table("12", revoked="3"), local=True)
    assert [(a.epoch, a.cause) for a in back.applications] == [(2, "revoked")]


def test_note_keeps_what_is_not_a_rollouts() -> None:
    """`low` passes through."""
    assert split(records("2"), {0: Note(1, 1, 5)}, table("12")).notes == {0: Note(2, 2, 5)}


def test_table_answers_by_state() -> None:
    """Oldest, newest, acting, genuine: each counts active epochs only, or all but announced ones."""
    known = table("24", revoked="3", announced="5")
    acting = {e: r.epoch if (r := known.acting(e)) else 0 for e in range(6)}
    assert acting == {0: 0, 1: 0, 2: 2, 3: 2, 4: 4, 5: 4}
    assert [known.may_stand_in_log(e) for e in range(1, 7)] == [False, True, True, True, False, False]
    ends = [r.epoch for r in (known.oldest_active(), known.newest_active()) if r]
    assert (ends, len(known), [r.epoch for r in known]) == ([2, 4], 4, [2, 3, 4, 5])


def test_last_application_before_an_offset() -> None:
    """Of the right partition, at or before the offset; of two at one offset the later one."""
    known = [
        Application(0, 1, 0, "first", "v1", 1), Application(1, 9, 0, "first", "v9", 9),
        Application(0, 2, 5, "barrier", "v2", 2), Application(0, 1, 5, "revoked", "v1", 2),
    ]  # fmt: skip
    notes = [last_application(known, 0, offset) for offset in (0, 4, 5, 99)]
    assert notes == [Note(1, 1), Note(1, 1), Note(2, 1), Note(2, 1)]
    assert last_application(known, 2, 99) == Note()


def _replayed(
    text: str, cuts: Sequence[int], known: RolloutTable, note: Note, start: int = 0
) -> tuple[list[Split], Note]:
    """The splits of a partition read in batches that end at these offsets."""
    bounds = [start, *sorted({c for c in cuts if start < c < len(text)}), len(text)]
    made = []
    for low, high in pairwise(bounds):
        cut = split(records(text[low:high], start=low), {0: note}, known)
        note = cut.notes[0]
        made.append(cut)
    return made, note


@settings(max_examples=300, deadline=None)
@given(
    text=st.text("xxx1234", min_size=1, max_size=25),
    cuts=st.lists(st.integers(0, 25), max_size=5),
    other_cuts=st.lists(st.integers(0, 25), max_size=5),
    start=st.integers(0, 24),
    known=st.sampled_from(
        [table("1234"), table("13", revoked="24"), table("1", revoked="23"), table("24", announced="3")]
    ),
)
def test_versions_are_a_function_of_the_applications(
    text: str, cuts: list[int], other_cuts: list[int], start: int, known: RolloutTable
) -> None:
    """However a partition is cut into batches, and from wherever it is read again, each record keeps its version."""
    start = min(start, len(text) - 1)
    made, end = _replayed(text, cuts, known, Note())
    versions = {at: e for cut in made for at, e in epochs(cut).items()}
    applied = [a for cut in made for a in cut.applications]
    for (_, offset), epoch in versions.items():
        assert last_application(applied, 0, offset).acting == epoch
    again, end_again = _replayed(text, other_cuts, known, last_application(applied, 0, start), start)
    assert {at: e for cut in again for at, e in epochs(cut).items()} == {
        at: e for at, e in versions.items() if at[1] >= start
    }
    assert end_again.acting == end.acting
