"""What of a history is played, and how far features and scorer may be apart."""

import json
from datetime import datetime
from pathlib import Path

import msgspec
import pytest

from services.retrainer.dataset import Files
from shared.adapters.pipeline_yaml import load_pipeline
from shared.core.errors import UserError
from shared.core.pipeline import HistorySpec, LookupSpec, PipelineSpec
from shared.core.pipeline_base import Duration
from tailrace.demo.part import DAY_MS, choose, lead_ms, month
from tests.support.bundles import HOUR, START
from tests.support.spec import make_spec


def spec_with(**history: str) -> PipelineSpec:
    """The parcels with a history section."""
    return msgspec.structs.replace(make_spec(), history=msgspec.convert(history, HistorySpec))


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """A record an hour, 300 of them, in no order, and one without a time."""
    rows = [{"id": f"p{i}", "at": START + i * HOUR} for i in range(300)]
    lines = [json.dumps(row) for row in [*rows[150:], {"id": "none"}, *rows[:150]]]
    (tmp_path / "records.jsonl").write_text("\n".join(lines))
    return Files(tmp_path / "records.jsonl")


def test_nothing_to_learn_from_or_to_score_is_told(files: Files) -> None:
    """A border before the first record, or after the last, is the user's mistake."""
    with pytest.raises(UserError, match=r"no record to learn from before 2023-11-14T22:13:20Z; give a later --from"):
        choose(spec_with(), files, start=START, limit=10)
    with pytest.raises(UserError, match=r"no record at or after .*; give an earlier --from"):
        choose(spec_with(), files, start=START + 300 * HOUR, limit=10)
    with pytest.raises(UserError, match="no record to learn from"):
        choose(spec_with(train_from="2023-11-20"), files, start=START + 5 * HOUR, limit=10)


def test_the_border_is_given_declared_or_after_two_thirds(files: Files) -> None:
    """`--from` before `history.train_until` before two thirds of the records; at most `limit` are played."""
    declared = spec_with(train_until="2023-11-20")
    at = int(datetime.fromisoformat("2023-11-20T00:00:00Z").timestamp() * 1000)
    given = choose(declared, files, start=START + 10 * HOUR, limit=20)
    assert (given.start, given.records, given.last) == (START + 10 * HOUR, 20, START + 29 * HOUR)
    assert choose(declared, files, start=None, limit=20).start == at
    third = choose(spec_with(), files, start=None, limit=1_000)
    assert (third.start, third.records, third.last) == (START + 200 * HOUR, 100, START + 299 * HOUR)


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        ({"train_from": "2013-01-01T00:00:00-05:00"}, "2013-06-01T00:00:00-05:00"),
        ({"train_from": "2013-03-09"}, "2013-06-01T00:00:00+00:00"),
        ({"train_until": "2020-02-02T02:00:00Z"}, "2020-06-01T00:00:00+00:00"),
    ],
)
def test_a_month_is_of_the_year_and_zone_of_the_training(history: dict[str, str], expected: str) -> None:
    """It needs no pipeline's name: year and offset stand in the history."""
    assert month(spec_with(**history), 6) == int(datetime.fromisoformat(expected).timestamp() * 1000)


def test_a_month_of_no_year_is_told() -> None:
    """A history without bounds says no year."""
    with pytest.raises(UserError, match=r"--from-month 6: parcels declares neither .*; use --from DATE"):
        month(spec_with(), 6)


def groups(**each: tuple[float, float]) -> PipelineSpec:
    """Groups by name with (max_age, keep) in seconds."""
    made = {
        name: LookupSpec(key="depot", fields={"x": "number"}, max_age=Duration(age), keep=Duration(keep))
        for name, (age, keep) in each.items()
    }
    return msgspec.structs.replace(make_spec(), lookups=made)


def test_features_go_ahead_as_far_as_the_cache_can_take() -> None:
    """A day, or as old as one may be; never more than a quarter of what is kept; nothing without producers."""
    assert lead_ms(load_pipeline("flights").spec) == DAY_MS
    assert lead_ms(groups()) == 0
    assert lead_ms(groups(a=(3 * 86_400, 60 * 86_400), b=(60, 60 * 86_400))) == 3 * DAY_MS
    assert lead_ms(groups(a=(3 * 86_400, 4 * 86_400))) == DAY_MS
    kept = groups(a=(3_600, 86_400))
    own = msgspec.structs.replace(kept.lookups["a"], fields={})
    assert lead_ms(kept) == DAY_MS // 4
    assert lead_ms(msgspec.structs.replace(kept, lookups={"a": own})) == 0


def test_the_scorer_may_lag_by_what_the_cache_still_holds(files: Files) -> None:
    """Half of what the shortest-lived group keeps, in records, between 2,000 and 20,000."""

    def of(spec: PipelineSpec) -> int:
        return choose(spec, files, start=START + HOUR, limit=1_000).max_lag

    assert of(groups()) == 20_000
    assert of(groups(a=(60, 86_400))) == 2_000
    assert 4_900 < of(groups(a=(60, 10_000 * 3_600), b=(60, 20_000 * 3_600))) < 5_100
