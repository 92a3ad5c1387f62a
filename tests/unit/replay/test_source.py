"""Files as a plan: order, selection, labels of exactly the selected records, errors with file and line."""

from pathlib import Path

import msgspec
import pytest

from services.ingest.replay.plan import Item, Kind, Selection
from services.ingest.replay.source import ReplaySource
from shared.adapters.history import HistoryFiles
from shared.adapters.tables import read_rows
from shared.core.errors import UserError
from tests.support.replay import HOUR, shop, write_csv


def files(folder: Path, times: list[int]) -> HistoryFiles:
    """Records at these hours, a label two hours after each, a feature update at each hour from 0 to 9."""
    records = [{"id": f"r{t}", "who": "x", "at": t * HOUR, "amount": 1} for t in times]
    labels = [{"id": f"r{t}", "value": "yes", "time": (t + 2) * HOUR} for t in sorted(times)]
    past = [{"group": "past", "entity": "x", "time": t * HOUR, "values.mean": t} for t in range(10)]
    return HistoryFiles(
        write_csv(folder / "records.csv", records),
        write_csv(folder / "features.csv", past),
        write_csv(folder / "labels.csv", labels),
    )


def ids(items: list[Item], kind: Kind) -> list[str]:
    """Ids of records or labels, in order."""
    return [msgspec.json.decode(i.value)["id"] for i in items if i.kind is kind]


def test_a_bad_cell_is_named_by_file_line_and_column(tmp_path: Path) -> None:
    """The error says where to look, and what else can be done."""
    path = tmp_path / "records.csv"
    path.write_text('id,who,at,amount\na,x,1,1\n\n"b\nb",x,2,2\nc,x,3,oops\n')
    source = ReplaySource(shop(), HistoryFiles(path), read_rows, Selection())
    with pytest.raises(UserError, match=r"records\.csv:6: amount: 'oops' is no number; .*--bad-rows send"):
        list(source.items())


def test_a_bad_row_can_be_sent_as_it_is(tmp_path: Path) -> None:
    """With `send` it goes out in its place, its text unconverted, and is counted."""
    cells = (("a", "1", "oops"), ("b", "?", "2"), ("c", "3", "2"))
    rows = [{"id": name, "who": "x", "at": at, "amount": amount} for name, at, amount in cells]
    path = write_csv(tmp_path / "records.csv", rows)
    source = ReplaySource(shop(), HistoryFiles(path), read_rows, Selection(), "send")
    items = list(source.items())
    assert ids(items, Kind.RECORD) == ["a", "b", "c"]
    assert msgspec.json.decode(items[0].value)["amount"] == "oops"
    assert source.bad == 2


@pytest.mark.parametrize("column", ["time", "values.mean"])
def test_a_bad_feature_row_is_named(tmp_path: Path, column: str) -> None:
    """A feature file with a wrong value ends before anything of that row is sent."""
    rows = {"group": "past", "entity": "x", "time": HOUR, "values.mean": 1} | {column: "?"}
    records = write_csv(tmp_path / "r.csv", [{"id": "a", "who": "x", "at": HOUR, "amount": 1}])
    given = HistoryFiles(records, write_csv(tmp_path / "features.csv", [rows]))
    with pytest.raises(UserError, match=r"features\.csv:2"):
        list(ReplaySource(shop(), given, read_rows, Selection()).items())


def test_an_empty_selection_is_said(tmp_path: Path) -> None:
    """A span without records is a mistake, not a success."""
    with pytest.raises(UserError, match=r"records\.csv: no record.*--from"):
        ReplaySource(shop(), files(tmp_path, [1]), read_rows, Selection(start=99 * HOUR))


def test_a_file_without_the_event_time_is_named(tmp_path: Path) -> None:
    """The column that is missing is named before anything is sent."""
    path = write_csv(tmp_path / "records.csv", [{"id": "a", "who": "x"}])
    with pytest.raises(UserError, match=r"records\.csv:2: at: is not in the file"):
        ReplaySource(shop(), HistoryFiles(path), read_rows, Selection())


def test_order_does_not_depend_on_the_file(tmp_path: Path) -> None:
    """A file out of order is replayed in event-time order all the same."""
    source = ReplaySource(shop(), files(tmp_path, [7, 3, 5]), read_rows, Selection())
    items = list(source.items())
    assert ids(items, Kind.RECORD) == ["r3", "r5", "r7"]
    assert sorted(i.due for i in items) == [i.due for i in items]
    assert (source.extent.records, source.extent.first, source.extent.last) == (3, 3 * HOUR, 7 * HOUR)


def test_only_labels_of_sent_records_go_out(tmp_path: Path) -> None:
    """Labels of other records are left out; those of the selected ones come even after its end, with their keys."""
    chosen = Selection(start=4 * HOUR, end=8 * HOUR, limit=2)
    items = list(ReplaySource(shop(), files(tmp_path, [1, 4, 6, 7, 9]), read_rows, chosen).items())
    assert ids(items, Kind.RECORD) == ["r4", "r6"]
    assert ids(items, Kind.LABEL) == ["r4", "r6"]
    assert {b"x"} == {i.key for i in items if i.kind is Kind.LABEL}


def test_features_come_ahead_and_reach_back(tmp_path: Path) -> None:
    """Updates go out one lead early, from as far back as a record may look, and none is later than the last record."""
    chosen = Selection(start=4 * HOUR, end=7 * HOUR, lead_ms=2 * HOUR)
    items = list(ReplaySource(shop(), files(tmp_path, [4, 6]), read_rows, chosen).items())
    features = [i for i in items if i.kind is Kind.FEATURE]
    assert [i.time // HOUR for i in features] == [3, 4, 5, 6]
    assert [i.due // HOUR for i in features] == [1, 2, 3, 4]
    assert {b"past:x"} == {i.key for i in features}


def test_a_rest_is_the_end_of_the_whole(tmp_path: Path) -> None:
    """Leaving out what was sent gives exactly the rest of the same sequence, at every point of interruption."""
    source = ReplaySource(shop(), files(tmp_path, [1, 2, 4, 6, 7]), read_rows, Selection(lead_ms=HOUR))
    whole = list(source.items())
    for cut in range(len(whole) + 1):
        skip = {kind: sum(i.kind is kind for i in whole[:cut]) for kind in Kind}
        assert whole[cut:] == list(source.items(skip))
