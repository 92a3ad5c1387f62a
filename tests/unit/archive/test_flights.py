"""Real flights, scored and archived: training reads from the archive what it would have read from the history."""

from itertools import islice
from pathlib import Path

import msgspec
import numpy as np
import pytest

from services.retrainer.archived import load_archived
from services.retrainer.dataset import Files, load_dataset
from shared.adapters.history import history_files
from shared.adapters.pipeline_yaml import load_pipeline
from shared.adapters.tables import read_rows
from shared.core.codec import RecordCodec
from shared.core.features import FeatureBuilder, learn_columns
from tests.support.scored import archive_history

FLIGHTS = Path(__file__).parents[3] / "pipelines" / "flights"
N, DAY = 4_000, 86_400_000


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """The first flights of the year with their weather and labels, as JSON lines."""
    folder = tmp_path_factory.mktemp("flights")
    whole = history_files(load_pipeline(FLIGHTS), folder / "cache")
    assert whole.features is not None
    assert whole.labels is not None
    records = list(islice(read_rows(whole.records), N))
    ids, last = {row["id"] for row in records}, records[-1]["departs_at"]
    updates = [row for row in read_rows(whole.features) if row["time"] <= last]
    labels = [row for row in islice(read_rows(whole.labels), 2 * N) if row["id"] in ids]
    found = Files(folder / "records.jsonl", folder / "features.jsonl", folder / "labels.jsonl")
    for path, rows in ((found.records, records), (found.features, updates), (found.labels, labels)):
        assert path is not None
        path.write_bytes(b"\n".join(map(msgspec.json.encode, rows)))
    return found


def test_flights_have_no_skew(files: Files) -> None:
    """Labels as known after four days: the same flights, weather, labels and matrix, bit for bit."""
    spec = load_pipeline(FLIGHTS).spec
    codec, url = RecordCodec(spec), "memory://flights"
    archive_history(spec, files, url, span=500)
    first = min(row["departs_at"] for row in read_rows(files.records))
    known = load_dataset(spec, codec, files, until=first + 4 * DAY, progress=lambda _: None)
    until = first + 4 * DAY
    found = load_archived(spec, codec, url, begin=None, until=until, progress=lambda _: None)
    one, two = ({codec.getter("id")(row): i for i, row in enumerate(data.rows)} for data in (known, found.data))
    assert one.keys() == two.keys()
    assert len(one) > 1_500
    order = [two[name] for name in one]
    columns = learn_columns(spec, codec, known.rows, known.found)
    builder = FeatureBuilder(spec, codec, columns)
    left, right = builder.matrix(known.rows, known.found), builder.matrix(found.data.rows, found.data.found)
    np.testing.assert_array_equal(left.values, right.values[order])
    np.testing.assert_array_equal(known.y, found.data.y[order])
    np.testing.assert_array_equal(known.known, found.data.known[order])
    print(f"{len(one):,} flights, {left.values.shape[1]} features, {np.isnan(left.values).mean():.1%} missing")
