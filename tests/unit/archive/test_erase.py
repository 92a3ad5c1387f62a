"""Erasure and retention: what goes, what stays, and that nothing comes back."""

from pathlib import Path
from random import Random

import pytest

from services.retrainer.archive.erase import erase
from services.retrainer.archive.retention import Retention, first_kept, prune, retention_of
from services.retrainer.archive.status import status
from services.retrainer.archive.store import Archive
from shared.adapters.parquet import values
from shared.core.errors import UserError
from shared.testing.clock import ManualClock
from tests.support.archives import SPAN, T0, Rig, Topic, contents, rows, whole
from tests.support.journals import make

SPEC = make()


def filled(url: str, n: int = 34) -> Rig:
    """An archive of one partition with complete ranges and a tail; keys are D0, D1 and D2, in turn."""
    topic = Topic()
    topic.fill(SPEC, 0, range(n), Random(3))
    rig = Rig(topic, url)
    rig.assign({0: -1})
    rig.turn(0, 0, n)
    rig.flush()
    return rig


def without(n: int) -> list[tuple[int, int]]:
    """The rows of `filled` but those of D1."""
    return [(0, offset) for offset in range(n) if offset % 3 != 1]


def test_an_erasure_says_first_what_it_would_touch(tmp_path: Path) -> None:
    """Without `apply` nothing changes, and the figures are those of the erasure itself, which may be repeated."""
    archive = filled(str(tmp_path)).archive
    before = contents(archive)
    looked = erase(archive, "parcels", "D1", asked="now", apply=False)
    assert before == contents(archive)
    assert frozenset() == archive.erased()
    done = erase(archive, "parcels", "D1", asked="now", apply=True)
    assert (looked.rows, looked.touched) == (done.rows, done.touched) == (11, looked.touched)
    assert without(34) == rows(archive)
    assert 0 == erase(archive, "parcels", "D1", asked="later", apply=True).rows


def test_no_file_names_the_subject_afterwards(tmp_path: Path) -> None:
    """The key stands nowhere, the list has a hash of it, and other subjects are whole."""
    archive = filled(str(tmp_path)).archive
    erase(archive, "parcels", "D1", asked="now", apply=True)
    assert {"D0", "D2"} == set(values(whole(archive), "key"))
    listed = b"".join(path.read_bytes() for path in (tmp_path / "parcels" / "_erased").iterdir())
    assert b"D1" not in listed
    assert archive.subject("D1").encode() in listed


def test_a_range_that_is_written_again_leaves_the_subject_out(tmp_path: Path) -> None:
    """An archiver that was not committed, or a group that was reset, brings nobody back."""
    rig = filled(str(tmp_path))
    erase(rig.archive, "parcels", "D1", asked="now", apply=True)
    again = Rig(rig.topic, str(tmp_path))
    again.assign({0: -1})
    again.turn(0, 0, 34)
    again.flush()
    assert without(34) == rows(again.archive)


def test_a_subject_is_erased_while_an_archiver_sleeps_in_a_write(tmp_path: Path) -> None:
    """The file is renamed into place after the erasure looked at it: the archiver itself takes the subject out."""
    other = Archive(str(tmp_path), "parcels")
    asleep: list[bool] = []

    def mark(step: str) -> None:
        if step == "written" and asleep:
            asleep.clear()
            erase(other, "parcels", "D1", asked="now", apply=True)

    topic = Topic()
    topic.fill(SPEC, 0, range(34), Random(3))
    rig = Rig(topic, str(tmp_path), mark=mark)
    rig.assign({0: -1})
    asleep.append(True)
    rig.turn(0, 0, 34)
    rig.flush()
    assert without(34) == rows(rig.archive)


def test_two_erasures_at_once_lose_neither(tmp_path: Path) -> None:
    """The second begins and ends while the first sleeps in a write."""
    filled(str(tmp_path))
    asleep = [True]

    def mark(step: str) -> None:
        if step == "written" and asleep[0] and (tmp_path / "parcels" / "_erased").is_dir():
            asleep[0] = False
            erase(Archive(str(tmp_path), "parcels"), "parcels", "D2", asked="now", apply=True)

    archive = Archive(str(tmp_path), "parcels", mark)
    erase(archive, "parcels", "D1", asked="now", apply=True)
    assert [(0, offset) for offset in range(34) if offset % 3 == 0] == rows(archive)


def test_a_day_of_one_subject_goes_as_a_whole(tmp_path: Path) -> None:
    """A file without rows is removed."""
    archive = filled(str(tmp_path)).archive
    for key in ("D0", "D1", "D2"):
        erase(archive, "parcels", key, asked="now", apply=True)
    assert [] == archive.files()


def test_a_file_that_cannot_be_read_is_not_passed_over_in_silence(tmp_path: Path) -> None:
    """Whether it has the subject, nobody can tell: the answer names it."""
    archive = filled(str(tmp_path)).archive
    name = archive.files()[0].name
    (tmp_path / "parcels" / name).write_bytes(b"PAR1 half a file")
    assert (name,) == erase(archive, "parcels", "D1", asked="now", apply=True).unreadable


def test_days_beyond_retention_go(tmp_path: Path) -> None:
    """Counted back from the newest day; a replayed year is a year."""
    rig = filled(str(tmp_path), 100)
    newest = max(one.part.day for one in rig.archive.files())
    clock = ManualClock(T0 / 1_000 + 400 * 86_400)
    keep = retention_of("7d")
    assert keep is not None
    Retention(rig.archive, keep, clock)()
    days = sorted({one.part.day for one in rig.archive.files() if one.part.day})
    assert (newest, 8) == (days[-1], len(days))


def test_a_day_that_is_still_to_come_takes_nothing_with_it(tmp_path: Path) -> None:
    """One record with a clock that is ahead must not empty the archive."""
    rig = filled(str(tmp_path), 100)
    assert "2025-12-26" == first_kept(rig.archive, 7 * 86_400.0, T0 / 1_000 + 86_400)
    assert [] == prune(rig.archive, "2025-12-26")


@pytest.mark.parametrize("text", ["week", "12h", "-1d"])
def test_a_retention_that_means_nothing_is_refused(text: str) -> None:
    """The setting is named."""
    with pytest.raises(UserError, match="TAILRACE_ARCHIVE__RETENTION"):
        retention_of(text)


def test_the_status_counts_what_is_there(tmp_path: Path) -> None:
    """Rows, days, ranges and tails; a range without a file between two others is named."""
    rig = filled(str(tmp_path), 34)
    found = status(rig.archive, "parcels", SPAN)
    assert (34, 4, 0) == (found.rows, found.tail_rows, found.erased)
    (log,) = found.logs
    assert (0, 30, 3, (), 34) == (log.start, log.end, log.ranges, log.missing, log.tail)
    for one in rig.archive.files():
        if one.part.start == 10:
            rig.archive.folder.remove(one.name)
    assert ((10, 20),) == status(rig.archive, "parcels", SPAN).logs[0].missing
    (tmp_path / "parcels" / rig.archive.files()[0].name).write_bytes(b"")
    assert 1 == len(status(rig.archive, "parcels", SPAN).unreadable)
