"""What a training learns from, and how two sets become one."""

from pathlib import Path

import numpy as np

from services.retrainer.archived import load_archived, merged, only, select
from services.retrainer.dataset import Dataset, load_dataset
from shared.core.codec import RecordCodec
from shared.core.pipeline_base import Duration
from shared.core.pipeline_loop import RetrainingSpec
from tests.support.bundles import HOUR, START, write_history
from tests.support.scored import archive_history
from tests.support.spec import make_spec

SPEC = make_spec(privacy={})
CODEC = RecordCodec(SPEC)


def silent(_: str) -> None:
    """Progress that nobody reads."""


def dataset(folder: Path, n: int = 300) -> Dataset:
    """A parcel an hour."""
    return load_dataset(SPEC, CODEC, write_history(folder, n=n), until=None, progress=silent)


def ids(data: Dataset) -> list[str]:
    """Whose records they are."""
    return list(map(CODEC.getter("id"), data.rows))


def test_the_newest_window_and_an_alarms_short_one(tmp_path: Path) -> None:
    """`recent` is half open; a window that is given counts instead of the declared one, and without one all is used."""
    data, until = dataset(tmp_path), START + 200 * HOUR
    terms = RetrainingSpec(window=Duration(60 * 3_600))
    assert [f"p{i}" for i in range(140, 200)] == ids(select(data, terms, until))
    assert [f"p{i}" for i in range(180, 200)] == ids(select(data, terms, until, window=20 * HOUR))
    assert data is select(data, RetrainingSpec(window=None), until)
    assert data is select(data, RetrainingSpec(data="all", window=Duration(60)), until)


def test_a_reservoir_is_the_same_for_the_same_records(tmp_path: Path) -> None:
    """As many as declared, in order of time, whatever order or company they came in: bottom-k by a salted hash."""
    data = dataset(tmp_path)
    terms = RetrainingSpec(data="reservoir", reservoir=100)
    chosen = ids(select(data, terms, START + 10**12))
    assert 100 == len(set(chosen))
    assert chosen == sorted(chosen, key=lambda name: int(name[1:]))
    older = only(data, np.arange(300) < 200)
    assert set(chosen) & set(ids(older)) <= set(ids(select(older, terms, START + 10**12)))
    quarters = np.histogram([int(name[1:]) for name in chosen], bins=4, range=(0, 300))[0]
    assert quarters.min() > 10


def test_history_and_archive_overlap_without_a_double(tmp_path: Path) -> None:
    """Records that are in both count once, with what the archive says of them; the whole is in order of time."""
    files = write_history(tmp_path, n=300)
    archive_history(SPEC, files, f"memory://{tmp_path}")
    history = load_dataset(SPEC, CODEC, files, until=None, progress=silent)
    archived = load_archived(
        SPEC, CODEC, f"memory://{tmp_path}", begin=START + 100 * HOUR, until=START + 10**12, progress=silent
    )
    assert 200 == len(archived)
    both = merged(only(history, history.times < START + 150 * HOUR), archived.data)
    assert [f"p{i}" for i in range(300)] == ids(both)
    np.testing.assert_array_equal(history.y, both.y)
    assert list(history.found.values["weather"]) == list(both.found.values["weather"])
    assert 50 == both.duplicates


def test_merging_with_nothing_changes_nothing(tmp_path: Path) -> None:
    """An archive may be empty, a history too."""
    data = dataset(tmp_path, 20)
    nothing = only(data, np.zeros(20, dtype=np.bool_))
    for both in (merged(data, nothing), merged(nothing, data)):
        assert ids(data) == ids(both)
