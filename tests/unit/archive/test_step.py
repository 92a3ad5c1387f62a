"""The archiver: what stands in files after whatever died, and that a row stands there once."""

from pathlib import Path
from random import Random

import pytest

from shared.core.errors import Unavailable
from shared.testing.faults import Crash, crash_at
from tests.support.archives import GENERATION, SPAN, TOPIC, Rig, Topic, contents, keys, rows, whole
from tests.support.journals import make

SPEC = make()


def topic_of(*offsets: int, partition: int = 0) -> Topic:
    """Outcomes at these offsets; the gaps between them are markers of transactions."""
    made = Topic()
    made.fill(SPEC, partition, offsets, Random(3))
    return made


def test_complete_ranges_are_files_and_the_rest_is_a_tail(tmp_path: Path) -> None:
    """A range is written a file a day, named by its offsets; what is younger is one tail file, when it is due."""
    topic = topic_of(*range(24))
    rig = Rig(topic, str(tmp_path))
    rig.assign({0: -1})
    committed = rig.turn(0, 0, 24)
    assert [(0, offset) for offset in range(20)] == rows(rig.archive)
    rig.flush()
    assert [(0, offset) for offset in range(24)] == rows(rig.archive)
    names = [one.name for one in rig.archive.files()]
    assert f"_tail/{TOPIC}-{GENERATION}-0-000000000020-000000000024.parquet" == names[-1]
    assert f"day=2026-01-01/{TOPIC}-{GENERATION}-0-000000000000-000000000010.parquet" == names[0]
    assert committed == 24
    assert (2, 1) == tuple(rig.metrics.counted("tailrace_archive_writes_total", what) for what in ("range", "tail"))


def test_a_tail_goes_when_its_range_is_complete(tmp_path: Path) -> None:
    """Tails are replaced by longer ones, and by the files of the range; the last offset of a range ends it."""
    rig = Rig(topic_of(*range(20)), str(tmp_path))
    rig.assign({0: -1})
    for end in (4, 8):
        rig.turn(0, end - 4, end)
        rig.flush()
    assert [8] == [one.part.end for one in rig.archive.files()]
    rig.turn(0, 8, 20)
    assert [(0, offset) for offset in range(20)] == rows(rig.archive, tails=False) == rows(rig.archive)


def test_an_unchanged_tail_is_not_written_again(tmp_path: Path) -> None:
    """Idle turns write nothing."""
    rig = Rig(topic_of(1, 2), str(tmp_path))
    rig.assign({0: -1})
    rig.turn(0, 0, 3)
    rig.flush()
    rig.flush()
    assert rig.metrics.counted("tailrace_archive_writes_total", "tail") == 1


def test_ranges_without_rows_have_no_file(tmp_path: Path) -> None:
    """Markers and aborted transactions may fill whole ranges: the archive goes on behind them."""
    rig = Rig(topic_of(3, 57, 60), str(tmp_path))
    rig.assign({0: -1})
    rig.turn(0, 0, 61)
    rig.flush()
    assert [(0, 3), (0, 57), (0, 60)] == rows(rig.archive)
    assert [0, 50, 60] == sorted({one.part.start for one in rig.archive.files()})


@pytest.mark.parametrize("step", ["written", "renamed", "range"])
@pytest.mark.parametrize("nth", [1, 2, 3])
def test_a_crash_at_any_step_changes_nothing(tmp_path: Path, step: str, nth: int) -> None:
    """F: killed before the rename, after it, between two days of a range, before the commit: the same files, bytes."""
    topic = topic_of(*range(35))
    calm = Rig(topic, str(tmp_path / "calm"))
    calm.assign({0: -1})
    calm.turn(0, 0, 35)
    calm.flush()
    Rig(topic, str(tmp_path / "dying"))  # begins the archive
    dying = Rig(topic, str(tmp_path / "dying"), mark=crash_at(step, nth))
    dying.assign({0: -1})
    committed = dying.turn(0, 0, 6)
    with pytest.raises(Crash):
        dying.turn(0, 6, 35)
    next_ = Rig(topic, str(tmp_path / "dying"))
    next_.assign({0: committed})
    next_.turn(0, committed, 35)
    next_.flush()
    assert contents(calm.archive) == contents(next_.archive)


def test_twins_write_the_same_bytes(tmp_path: Path) -> None:
    """Two archivers of the same partition, in batches of any size, one woken after a freeze: one set of files."""
    topic, dice = topic_of(*range(0, 95, 3)), Random(11)
    one, two = Rig(topic, str(tmp_path)), Rig(topic, str(tmp_path))
    for rig in (one, two):
        rig.assign({0: -1})
    at = {id(one): 0, id(two): 0}
    while min(at.values()) < 95:
        rig = dice.choice([one, two])
        start, at[id(rig)] = at[id(rig)], at[id(rig)] + dice.randrange(1, 30)
        if topic.messages(0, start, at[id(rig)]):
            rig.turn(0, start, at[id(rig)])
        if dice.random() < 0.5:
            rig.flush()
    found = set(rows(one.archive))
    one.flush()
    two.flush()
    alone = Rig(topic, str(tmp_path / "alone"))
    alone.assign({0: -1})
    alone.turn(0, 0, 95)
    alone.flush()
    assert [(0, offset) for offset in range(0, 95, 3)] == sorted(found) == rows(one.archive)
    assert contents(alone.archive) == contents(one.archive)


def test_a_successor_reads_the_range_again(tmp_path: Path) -> None:
    """Rows that were committed and in no file yet are read from the log by whoever comes next, idle or not."""
    topic = topic_of(*range(17))
    first = Rig(topic, str(tmp_path))
    first.assign({0: -1})
    committed = first.turn(0, 0, 17)  # and dies, before a tail was due
    second = Rig(topic, str(tmp_path))
    second.assign({0: committed})
    second.flush()
    assert [(0, offset) for offset in range(17)] == rows(second.archive)


def test_what_was_not_committed_is_taken_back(tmp_path: Path) -> None:
    """A batch whose commit failed is read again: nothing doubles."""
    topic = topic_of(*range(14))
    rig = Rig(topic, str(tmp_path))
    rig.assign({0: -1})
    rig.turn(0, 0, 5)
    rig.turn(0, 5, 14)
    rig.assign({0: 5})
    rig.turn(0, 5, 14)
    rig.flush()
    assert [(0, offset) for offset in range(14)] == rows(rig.archive)


def test_rows_that_retention_took_from_the_log_are_kept(tmp_path: Path) -> None:
    """The log's start moved into the range: the tail has the rest, and the range is written whole."""
    topic = topic_of(*range(24))
    first = Rig(topic, str(tmp_path))
    first.assign({0: -1})
    committed = first.turn(0, 0, 16)
    first.flush()
    topic.starts[0] = 14
    second = Rig(topic, str(tmp_path))
    second.assign({0: committed})
    second.turn(0, 16, 24)
    second.flush()
    assert [(0, offset) for offset in range(24)] == rows(second.archive)
    assert [] == second.gaps


def test_a_gap_is_told(tmp_path: Path) -> None:
    """Outcomes that retention took before any file had them are named."""
    topic = topic_of(*range(24))
    first = Rig(topic, str(tmp_path))
    first.assign({0: -1})
    committed = first.turn(0, 0, 13)
    topic.starts[0] = 18
    second = Rig(topic, str(tmp_path))
    second.assign({0: committed})
    second.turn(0, 18, 24)
    assert [(0, 10, 18)] == second.gaps
    assert [(0, offset) for offset in (*range(10), 18, 19)] == rows(second.archive)


def test_a_group_reset_to_the_start_of_a_shortened_log_loses_nothing(tmp_path: Path) -> None:
    """An operator resets offsets, the log begins in a range that is archived whole: it stays whole."""
    topic = topic_of(*range(24))
    first = Rig(topic, str(tmp_path))
    first.assign({0: -1})
    first.turn(0, 0, 24)
    before = contents(first.archive)
    topic.starts[0] = 7
    second = Rig(topic, str(tmp_path))
    second.assign({0: -1})
    second.turn(0, 7, 24)
    assert before == contents(second.archive)


def test_another_incarnation_of_a_topic_has_files_of_its_own(tmp_path: Path) -> None:
    """A topic that was made anew counts from 0 again: it replaces nothing."""
    rig = Rig(topic_of(*range(10)), str(tmp_path))
    rig.assign({0: -1})
    rig.turn(0, 0, 10)
    before = contents(rig.archive)
    reborn = Rig(topic_of(*range(12)), str(tmp_path))
    reborn.archiving = type(rig.archiving)(
        reborn.archive, type(rig.archiving._terms)(TOPIC, "ffffffff", SPAN, 10.0), reborn.topic,
        gap=print, turn=lambda: None, metrics=reborn.metrics, clock=reborn.clock,
    )  # fmt: skip
    reborn.assign({0: -1})
    reborn.turn(0, 0, 12)
    assert before.items() < contents(reborn.archive).items()


def test_what_is_no_outcome_is_counted_and_left_out(tmp_path: Path) -> None:
    """Foreign bytes in the topic stop nothing."""
    topic = topic_of(*range(10))
    topic.held[0] |= {4: b"{}", 5: b"\xff", 6: b""}
    rig = Rig(topic, str(tmp_path))
    rig.assign({0: -1})
    rig.turn(0, 0, 10)
    assert [(0, offset) for offset in (0, 1, 2, 3, 7, 8, 9)] == rows(rig.archive)
    assert rig.metrics.counted("tailrace_archive_writes_total", "invalid") == 3


def test_an_archive_that_cannot_be_written_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk: the batch fails, is not committed, and the same batch succeeds later; idle turns go on."""
    rig = Rig(topic_of(*range(14)), str(tmp_path))
    rig.assign({0: -1})

    def full(*_: object) -> None:
        raise Unavailable("no space")

    with monkeypatch.context() as broken:
        broken.setattr(rig.archive.folder, "write", full)
        with pytest.raises(Unavailable):
            rig.turn(0, 0, 14)
        rig.assign({0: -1})
        rig.turn(0, 0, 5)
        rig.flush()
        assert rig.metrics.counted("tailrace_archive_writes_total", "failed") == 1
    rig.turn(0, 5, 14)
    rig.flush()
    assert [(0, offset) for offset in range(14)] == rows(rig.archive)


def test_partitions_that_go_leave_a_tail(tmp_path: Path) -> None:
    """A worker that stops in order writes what it has; dropped partitions are forgotten."""
    rig = Rig(topic_of(*range(4)), str(tmp_path))
    rig.assign({0: -1})
    rig.turn(0, 0, 4)
    rig.archiving.dropped([0])
    assert [(0, offset) for offset in range(4)] == keys(whole(rig.archive))


def test_many_partitions_of_one_batch(tmp_path: Path) -> None:
    """Each partition has its own ranges."""
    topic = topic_of(*range(12))
    topic.fill(SPEC, 7, range(5, 25), Random(4))
    rig = Rig(topic, str(tmp_path))
    rig.assign({0: -1, 7: -1})
    rig.turn(0, 0, 12)
    rig.turn(7, 0, 25)
    rig.flush()
    assert [*((0, o) for o in range(12)), *((7, o) for o in range(5, 25))] == rows(rig.archive)


def test_an_archive_keeps_the_range_that_it_was_begun_with(tmp_path: Path) -> None:
    """Another setting later would cut the same rows differently, so it does not count."""
    first = Rig(Topic(), str(tmp_path))
    assert (SPAN, SPAN) == (first.span, first.archive.begin(77))
