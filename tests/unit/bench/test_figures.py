"""What the bench works out of its samples: ratios, quantiles, gaps, the way back after a burst; and its plot."""

from array import array
from dataclasses import replace
from xml.etree import ElementTree as ET

import msgspec
import numpy as np
import pytest

from shared.core.errors import UserError
from tailrace.bench.burst import Window, back_after
from tailrace.bench.cases import CASES, Case, chosen, middle, observing, ratio
from tailrace.bench.flow import Arrivals, record, rests
from tailrace.bench.material import ENTITIES, FEATURES, GROUP, START, STEP, VERSIONS, updates
from tailrace.bench.pin import on_core, pinned
from tailrace.bench.plot import Panel, svg
from tailrace.bench.runner import Row
from tailrace.bench.scrape import Scraped
from tailrace.stack.program import Program


def _row(rate: float, cpu: float) -> Row:
    return Row("any", rate, cpu, 100.0, 1_000)


def test_a_case_that_is_not_there_is_refused() -> None:
    """The message names the cases; words choose by any part of a name, and none chooses all."""
    with pytest.raises(UserError, match="no case has 'lienar' in its name"):
        chosen(["lienar"])
    assert list(chosen([])) == list(CASES)
    assert {case.kind.lookups for case in chosen(["look-ups"])} == {True}


def test_the_middle_of_three_runs_counts() -> None:
    """One run that was disturbed changes nothing."""
    rows = [_row(10, 5), _row(1, 50), _row(11, 4)]
    assert middle(rows, "ours") == replace_name(_row(10, 5), "ours")


def replace_name(row: Row, name: str) -> Row:
    """The same row under another name."""
    return Row(name, row.records_per_s, row.cpu_us_per_record, row.rss_mb, row.n)


def test_ratios_are_ours_by_theirs() -> None:
    """Rate and CPU alike."""
    assert ratio(_row(85, 12), _row(100, 10)) == {"records_per_s": 0.85, "cpu_us_per_record": 1.2}


def test_observing_is_set_beside_the_cost_of_writing() -> None:
    """What it adds to ours by what it adds to the bare loop, a kind; nothing where it was run one way only."""
    plain, seen = CASES[0], CASES[1]
    pairs: dict[Case, tuple[Row, Row]] = {plain: (_row(1, 10), _row(1, 12)), seen: (_row(1, 14), _row(1, 17))}
    assert observing(pairs) == {"linear": {"bare_us": 4, "ours_us": 5, "ratio": 1.25}}
    assert observing({seen: pairs[seen]}) == {}


def _arrivals() -> Arrivals:
    index, at = np.array([0, 1, 1, 3]), np.array([10.1, 10.2, 10.3, 13.5])
    return Arrivals(index, np.array([0, 0, 0, 0]), at, np.array(array("d", [10.0, 10.1, 10.2, 13.0])))


def test_lost_and_doubled_records_are_counted() -> None:
    """Record 2 has no prediction, record 1 has two."""
    assert (_arrivals().lost, _arrivals().doubled) == (1, 1)


def test_quantiles_are_of_records_sent_in_the_span() -> None:
    """A span without any has none."""
    came = _arrivals()
    assert came.quantile(1.0, 10.0, 10.05) == pytest.approx(100)
    assert came.quantile(1.0, 13.0) == pytest.approx(500)
    assert np.isnan(came.quantile(0.5, 20.0))


def test_the_longest_gap_reaches_from_edge_to_edge() -> None:
    """A partition that never answered paused all the time."""
    came = _arrivals()
    assert came.longest_gap(0, 10.0, 14.0) == pytest.approx(3.2)
    assert came.longest_gap(1, 10.0, 14.0) == pytest.approx(4.0)


@pytest.mark.parametrize(
    ("p99", "expected"),
    [
        ([9] * 6, 0.0),
        ([9, 200, 9, 9, 9, 9], 0.5),
        ([9, 9, 200, 9, 9, 9, 9, 200], 1.0),
        ([9, 9, 9, 9, 200, 9, 9, 9], None),
        ([200, 9, 9, 9, 9], 0.0),
        ([9, None, 9, 9, 9, 9], 0.5),
    ],
)
def test_p99_is_back_once_it_is_calm(p99: list[float | None], expected: float | None) -> None:
    """From the moment the backlog is gone (0.5 s) until four windows in a row are within the target."""
    windows = [Window(i / 2, value) for i, value in enumerate(p99)]
    assert back_after(windows, 0.5, 100.0) == expected


def test_a_plot_is_an_svg_with_a_curve_a_panel() -> None:
    """Titles are escaped, empty panels allowed."""
    text = svg("1 < 2", [Panel("a & b", [(0, 1), (1, 1_000)], mark=100), Panel("none", [])])
    root = ET.fromstring(text)  # noqa: S314 - our own text
    assert len([one for one in root if one.tag.endswith("polyline")]) == 2


def test_each_entity_has_a_version_before_the_first_record() -> None:
    """And as many more as declared, evenly over the records' time."""
    made = updates(1_000)
    assert len(made) == ENTITIES * VERSIONS
    assert {one.group for one in made} == {GROUP}
    assert [one.time for one in made[:: ENTITIES * (VERSIONS // 2)]] == [START - 1_000, START - 1_000 + 500 * STEP]


def test_records_are_whole() -> None:
    """Made of parts, they are JSON with every feature."""
    key, value = record(1_234, rests())
    made = msgspec.json.decode(value)
    assert (key, made["id"], made["key"]) == (b"e234", "r1234", "e234")
    assert set(made) == {"id", "key", "ts", *FEATURES}


def test_nothing_is_pinned_where_it_is_not_wished() -> None:
    """The program stays as it is; with a core it is started by way of a line that sets it."""
    program = Program("p", ("python", "x"))
    with pinned(wish=False) as core:
        assert on_core(program, core) is program
    assert on_core(program, 1) == replace(program, argv=on_core(program, 1).argv)
    assert on_core(program, 1).argv[-3:] == ("1", "python", "x")


def test_a_worker_that_is_away_has_no_metrics() -> None:
    """Totals are 0, and it owns nothing."""
    away = Scraped("http://127.0.0.1:9")
    assert (away.total("tailrace_records_total"), away.partitions("tailrace_committed_offset")) == (0, set())
