"""Training data from the archive: the same matrix as from the history, and the labels that were known at a time."""

import json
from pathlib import Path
from random import Random

import numpy as np
import pytest
from msgspec import UNSET

from services.retrainer.archived import Archived, load_archived
from services.retrainer.dataset import Files, load_dataset
from shared.core.codec import RecordCodec
from shared.core.errors import UserError
from shared.core.features import FeatureBuilder, learn_columns
from shared.core.pipeline import PipelineSpec
from shared.core.privacy import Redactor
from tests.support.archives import DAY, SPAN, T0, Rig, Topic, log_of, outcome
from tests.support.bundles import HOUR, START, write_history
from tests.support.journals import make
from tests.support.scored import archive_history
from tests.support.spec import make_spec

FAR = START + 10**12


def silent(_: str) -> None:
    """Progress that nobody reads."""


def history(folder: Path, spec: PipelineSpec) -> Files:
    """Parcels whose labels also come never, too late, or again with a higher revision and another value."""
    files = write_history(folder, spec.task, n=400)
    assert files.labels is not None
    dice, lines = Random(9), []
    for line in files.labels.read_text().splitlines():
        row, fate = json.loads(line), dice.random()
        if fate < 0.1:
            continue
        lines.append(row | ({"time": row["time"] + 5 * HOUR} if fate < 0.2 else {}))
        if fate > 0.8:
            value = row["value"] + 1 if spec.task == "regression" else dice.choice(spec.labels.classes)
            lines.append(row | {"revision": 1, "value": value, "time": row["time"] + 2 * HOUR})
    files.labels.write_text("".join(json.dumps(row) + "\n" for row in lines))
    return files


def load(
    spec: PipelineSpec,
    url: Path | str,
    *,
    until: int = FAR,
    as_known: int | None = None,
    codec: RecordCodec | None = None,
) -> Archived:
    """What is archived."""
    return load_archived(
        spec, codec or RecordCodec(spec), str(url), begin=None, until=until, as_known=as_known, progress=silent
    )


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
@pytest.mark.parametrize("until", [START + 200 * HOUR + 1, FAR])
def test_the_archive_gives_the_matrix_of_the_history(tmp_path: Path, task: str, until: int) -> None:
    """No skew: rows, look-ups, targets, times and the model's matrix are those of a training from the history."""
    spec = make_spec(task, privacy={})
    codec, files = RecordCodec(spec), history(tmp_path, spec)
    ends = archive_history(spec, files, f"memory://{tmp_path}")
    known = load_dataset(spec, codec, files, until=until, progress=silent)
    found = load(spec, f"memory://{tmp_path}", until=until, codec=codec)
    assert len(known) > 100
    assert known.rows == found.data.rows
    for part in ("values", "ages", "causes"):
        one_, two_ = getattr(known.found, part), getattr(found.data.found, part)
        assert {group: list(column) for group, column in one_.items()} == two_
    columns = learn_columns(spec, codec, known.rows, known.found)
    one = FeatureBuilder(spec, codec, columns).matrix(known.rows, known.found)
    two = FeatureBuilder(spec, codec, columns).matrix(found.data.rows, found.data.found)
    np.testing.assert_array_equal(one.values, two.values)
    for name in ("y", "times", "known"):
        np.testing.assert_array_equal(getattr(known, name), getattr(found.data, name))
    assert {"7"} == set(found.versions)
    assert [p.id for p in found.predictions] == list(found.ids)
    assert all(found.offsets[name][1] <= end for name, end in ends.items())


def test_personal_fields_are_missed_by_nobody(tmp_path: Path) -> None:
    """Dropped fields are absent, hashed ones are text; getters of the pipeline's codec read the rows."""
    spec = make_spec(privacy={"drop": ["phone"], "hash": ["id"]})
    files = write_history(tmp_path, n=40)
    redactor = Redactor(spec.privacy, spec.record, b"0123456789abcdef")
    archive_history(spec, files, f"memory://{tmp_path}", redactor)
    found, codec = load(spec, f"memory://{tmp_path}"), RecordCodec(spec)
    assert {redactor.pseudonym(f"p{i}") for i in range(40)} == set(map(codec.getter("id"), found.data.rows))
    assert {UNSET} == set(map(codec.getter("phone"), found.data.rows))
    assert (40, {}) == (len(found), found.data.refused)


def test_a_later_revision_is_not_used_before_it_came(tmp_path: Path) -> None:
    """Labels as known then; as known now the correction counts, and `known` says when it came."""
    spec = make(slices={})
    rig, topic = Rig(Topic(), str(tmp_path)), Topic()
    dice = Random(1)
    values = [
        outcome(spec, 1, dice, value="late"),
        outcome(spec, 1, dice, value="on_time", revision=2, late=5 * 3_600_000, time=T0 + 7 * 3_600_000),
        outcome(spec, 2, dice, value="late"),
    ]
    topic.held[0] = dict(enumerate(values))
    rig.topic = topic
    rig.archive.write_tail(log_of(0), 0, 3, _table(values))
    at = T0 + 7 * 3_600_000
    then = load(spec, tmp_path, until=at + 1, as_known=at + 6 * 3_600_000)
    assert ([0.0], [at + 5 * 3_600_000]) == (then.data.y.tolist(), then.data.known.tolist())
    before = load(spec, tmp_path, until=at + 1, as_known=at + 4 * 3_600_000)
    assert (0, 1) == (len(before), before.data.young)
    now = load(spec, tmp_path)
    assert [0.0, 1.0] == now.data.y.tolist()


def _table(values: list[bytes]) -> object:
    from services.retrainer.archive.rows import table_of  # noqa: PLC0415 - of this helper alone

    return table_of(0, list(enumerate(values)))[0]


def test_an_offset_that_is_in_two_files_counts_once(tmp_path: Path) -> None:
    """A stale tail of a frozen archiver says nothing new."""
    spec = make(slices={})
    topic = Topic()
    topic.fill(spec, 0, range(12), Random(2))
    rig = Rig(topic, str(tmp_path))
    rig.assign({0: -1})
    rig.turn(0, 0, 12)
    rig.flush()
    once_ = load(spec, tmp_path)
    rig.archive.write_tail(log_of(0), 0, 5, _table(list(topic.held[0].values())[:5]))
    again = load(spec, tmp_path)
    assert list(once_.ids) == list(again.ids)
    assert (12, 0) == (len(again), again.data.duplicates)


def test_files_that_cannot_be_read_are_named_and_passed_over(tmp_path: Path) -> None:
    """Half a file, foreign bytes, another table: a warning each; foreign names and temporary files are nobody's."""
    spec = make(slices={})
    topic = Topic()
    topic.fill(spec, 0, range(SPAN), Random(2))
    rig = Rig(topic, str(tmp_path))
    rig.assign({0: -1})
    rig.turn(0, 0, SPAN)
    day = next(path for path in sorted((tmp_path / "parcels").glob("day=*/*")))
    half = day.with_name(
        day.name.replace("-000000000010.", "-000000000020.").replace("-000000000000-", "-000000000010-")
    )
    half.write_bytes(day.read_bytes()[:-100])
    (day.parent / ".x.part").write_bytes(b"")
    (day.parent / "notes.txt").write_text("mine")
    said: list[str] = []
    found = load_archived(spec, RecordCodec(spec), str(tmp_path), begin=None, until=FAR, progress=said.append)
    assert (SPAN, 1) == (len(found), len(found.ignored))
    assert any(half.name in line and line.startswith("warning:") for line in said)


def test_an_empty_archive_is_an_empty_set(tmp_path: Path) -> None:
    """Nothing archived is no error: the history may be enough."""
    found = load(make(slices={}), tmp_path)
    assert (0, {}, 0) == (len(found), found.offsets, len(found.data))


def test_only_the_days_that_were_asked_for(tmp_path: Path) -> None:
    """`begin` and `until` bound event time, to the millisecond."""
    spec = make(slices={})
    topic = Topic()
    topic.fill(spec, 0, range(40), Random(2))
    rig = Rig(topic, str(tmp_path))
    rig.assign({0: -1})
    rig.turn(0, 0, 40)
    found = load_archived(
        spec, RecordCodec(spec), str(tmp_path), begin=T0 + 2 * DAY, until=T0 + 5 * DAY, as_known=FAR, progress=silent
    )
    assert [T0 + n * 7 * 3_600_000 for n in range(40) if 2 <= n * 7 / 24 < 5] == found.data.times.tolist()


def test_an_object_store_is_as_good_as_a_folder() -> None:
    """The same rows from memory://; what has no library is said in one line."""
    spec = make(slices={})
    topic = Topic()
    topic.fill(spec, 0, range(13), Random(2))
    rig = Rig(topic, "memory://archive-test")
    rig.assign({0: -1})
    rig.turn(0, 0, 13)
    rig.flush()
    found = load_archived(spec, RecordCodec(spec), "memory://archive-test", begin=None, until=FAR, progress=silent)
    assert 13 == len(found)
    with pytest.raises(UserError, match="s3fs"):
        Rig(topic, "s3://bucket/archive")
