"""One contract for every store: in memory, and RocksDB on disk."""

from collections.abc import Callable
from pathlib import Path

import pytest

from shared.adapters.rocks import RocksMemory, RocksStore
from shared.core.errors import Unavailable
from shared.core.store import Store
from shared.testing.store import MemoryStore

STORES: dict[str, Callable[[Path], Store]] = {
    "memory": lambda _: MemoryStore(),
    "rocks": lambda folder: RocksStore(folder, RocksMemory()),
}


@pytest.fixture(params=sorted(STORES))
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """An empty store of each kind."""
    return STORES[request.param](tmp_path / "store")


def test_what_was_not_put_is_none(store: Store) -> None:
    """Asking for nothing, and for what is not there, is no error."""
    assert ([], [None, None]) == (store.get_many([]), store.get_many([b"a", b""]))


def test_a_write_puts_and_deletes_and_the_last_one_counts(store: Store) -> None:
    """Values come back in the order in which they are asked for; deleting what is not there is no error."""
    store.write({b"a": b"1", b"b": b"", b"\xff\x00": b"\x00\xff"})
    store.write({b"a": b"2"}, [b"b", b"none"])
    assert [None, b"2", b"\x00\xff"] == store.get_many([b"b", b"a", b"\xff\x00"])


def test_a_scan_gives_one_prefix_in_order(store: Store) -> None:
    """Neighbours of a prefix are not among its keys, and an empty prefix is everything."""
    store.write({key: key for key in (b"b", b"a\xff", b"a1", b"a", b"`")})
    assert [b"a", b"a1", b"a\xff"] == [key for key, _ in store.scan(b"a")]
    assert 5 == len(list(store.scan(b"")))


def test_a_cleared_store_is_empty_and_goes_on(store: Store) -> None:
    """Nothing of before is left, and what is put then stays."""
    store.write({b"a": b"1"})
    store.clear()
    assert [] == list(store.scan(b""))
    store.write({b"b": b"2"})
    assert [None, b"2"] == store.get_many([b"a", b"b"])


def test_rocks_begins_anew_where_its_files_are_damaged(tmp_path: Path) -> None:
    """A store that cannot be read is an empty one: the log has everything."""
    first = RocksStore(tmp_path)
    first.write({b"a": b"1"})
    first.close()
    (tmp_path / "CURRENT").write_text("rubbish")
    again = RocksStore(tmp_path)
    assert [None] == again.get_many([b"a"])
    again.close()


def test_rocks_is_opened_by_one_at_a_time(tmp_path: Path) -> None:
    """A folder that is in use is left alone, and said to be."""
    first = RocksStore(tmp_path)
    first.write({b"a": b"1"})
    with pytest.raises(Unavailable, match=r"(?i)lock"):
        RocksStore(tmp_path)
    assert [b"1"] == first.get_many([b"a"])
    first.close()


def test_rocks_keeps_what_was_written_when_it_is_opened_again(tmp_path: Path) -> None:
    """Closed in order, a store has on the disk what it was given."""
    first = RocksStore(tmp_path)
    first.write({b"a": b"1"}, [b"z"])
    first.close()
    again = RocksStore(tmp_path)
    assert [b"1"] == again.get_many([b"a"])
    again.close()
