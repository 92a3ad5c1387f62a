"""The bench at a small size: the shape of what it prints, and that both loops really do the same."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from confluent_kafka import Producer

from shared.adapters.kafka.admin import KafkaAdmin
from shared.core.errors import UserError
from shared.core.topics import WantedTopic
from tailrace.bench import scaleout
from tailrace.bench.burst import SAMPLE_S
from tailrace.bench.burst import measure as measure_burst
from tailrace.bench.latency import measure as measure_latency
from tailrace.bench.process import cpu_seconds, measure_run, peak_mb
from tailrace.bench.same import differences, outputs
from tailrace.bench.shadow import WANTED as WANTED_SHADOW
from tailrace.bench.shadow import measure as measure_shadow
from tailrace.bench.tasks import CASES
from tailrace.bench.tasks import measure as measure_tasks

pytestmark = pytest.mark.system
COMMAND = "import typer; from tailrace.cli.bench import register; a = typer.Typer(); register(a); a()"
RECORDS = 5_000
ONE_LOOKED_UP = "linear, look-ups, exactly_once"


def test_a_process_that_does_not_finish_is_an_error() -> None:
    """What never commits ends the bench in time, with what it had done."""
    with pytest.raises(UserError, match=r"0 of 10 records after 0\.1 s"):
        measure_run(os.getpid, lambda: 0, 10, 0.1)


def test_start_up_is_left_out() -> None:
    """Only what lies between the first and the last commit counts; memory is the process's peak."""
    commits = iter([0, 0, 40, 70, 100])
    seen = measure_run(os.getpid, lambda: next(commits), 100, 10.0)
    assert (seen.records, seen.cpu <= cpu_seconds(os.getpid())) == (60, True)
    assert seen.rss_mb <= peak_mb(os.getpid())
    assert (cpu_seconds(2**22 + 1), peak_mb(2**22 + 1)) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("theirs", "expected"),
    [
        ({(0, 1): [b"a"], (0, 2): [b"b"]}, (2, 0)),
        ({(0, 1): [b"a"], (0, 2): [b"x"]}, (1, 1)),
        ({(0, 1): [b"a"]}, (1, 1)),
        ({(0, 1): [b"a", b"a"], (0, 2): [b"b"], (0, 3): [b"c"]}, (1, 2)),
    ],
)
def test_any_difference_counts(theirs: dict[tuple[int, int], list[bytes]], expected: tuple[int, int]) -> None:
    """Another answer, a missing one, a second one, one too many: each position counts once."""
    assert differences({(0, 1): [b"a"], (0, 2): [b"b"]}, theirs) == expected


def test_messages_are_compared_whole(kafka: str, unique: Callable[[str], str]) -> None:
    """The same value with another header, key or partition is another answer."""
    names = [unique("same") for _ in range(4)]
    admin = KafkaAdmin({"bootstrap.servers": kafka})
    admin.create([WantedTopic(name, 2, 1) for name in names])
    producer = Producer({"bootstrap.servers": kafka})
    value = b'{"at":[0,7]}'
    for name, key, partition, header in zip(names, b"kkxk", (0, 0, 0, 1), (b"1", b"2", b"1", b"1"), strict=True):
        producer.produce(name, value, bytes([key]), partition, headers=[("traceparent", header)])
    assert producer.flush(10) == 0
    digests = [outputs({"bootstrap.servers": kafka}, name)[0, 7][0] for name in names]
    assert len(set(digests)) == 4


def test_the_bench_prints_one_object_and_both_loops_write_the_same_bytes(tmp_path: Path) -> None:
    """Two rows a case; every prediction and every observation equals the bare loop's, looked-up features and all."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TAILRACE_")}
    environment |= {name: os.environ[name] for name in ("TAILRACE_CACHE",) if name in os.environ}
    environment["TMPDIR"] = str(tmp_path)
    argv = [sys.executable, "-c", COMMAND, "bench", "scorer", "--records", str(RECORDS), "--repeat", "1", "--json"]
    argv += ["--case", ONE_LOOKED_UP, "--case", "forest, look-ups, at_least_once"]
    done = subprocess.run(argv, capture_output=True, text=True, env=environment, check=False, timeout=240)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    cases = [f"{ONE_LOOKED_UP}{seen}" for seen in ("", ", observed")] + ["forest, look-ups, at_least_once"]
    assert (result["identical"], result["different"]) == (4 * RECORDS, 0)
    names = [f"{who}, {case}" for case in cases for who in ("bare loop", "tailrace")]
    assert [row["name"] for row in result["rows"]] == names
    for row in result["rows"]:
        assert set(row) == {"name", "records_per_s", "cpu_us_per_record", "rss_mb", "n"}
        assert 0 < row["n"] < RECORDS
        assert row["records_per_s"] > 0
        assert row["rss_mb"] > 0
    figures = {"records_per_s", "cpu_us_per_record"}
    assert [(name, set(ratio)) for name, ratio in result["ratios"].items()] == [(name, figures) for name in cases]
    assert {name: set(one) for name, one in result["observing"].items()} == {
        "linear, look-ups": {"bare_us", "ours_us", "ratio"}
    }
    assert set(result) >= {"ok", "cores", "versions", "note", "load", "repeat"}
    assert list(tmp_path.glob("tailrace-*")) == []


def test_latency_has_a_row_for_each_program_and_way(tmp_path: Path) -> None:
    """Four rows with rising quantiles, and a ratio for each way."""
    result = measure_latency(tmp_path, rate=500, seconds=1, repeat=1, pin=True)
    ways = ("no observations", "observations")
    assert [row.name for row in result.rows] == [f"{who}, {way}" for way in ways for who in ("bare loop", "tailrace")]
    assert all(0 < row.p50 <= row.p95 <= row.p99 for row in result.rows)
    assert {way: set(found) for way, found in result.ratios.items()} == {way: {"p50", "p95", "p99"} for way in ways}


def test_a_shadow_is_measured_beside_the_champion(tmp_path: Path) -> None:
    """Two rows with rising quantiles, a ratio for each of them, and a shadow that scored meanwhile."""
    result = measure_shadow(tmp_path, rate=500, seconds=1, repeat=1, pin=True)
    assert [row.name for row in result.rows] == ["alone", "beside a shadow"]
    assert all(0 < row.p50 <= row.p95 <= row.p99 for row in result.rows)
    assert set(result.ratios) == set(result.range) == {"p50", "p95", "p99"}
    assert result.ok == (max(result.ratios["p50"], result.ratios["p99"]) <= WANTED_SHADOW)
    assert result.shadowed > 0


def test_a_burst_leaves_figures_and_a_plot(tmp_path: Path) -> None:
    """Batches grow in the burst; every record has one prediction; the plot is an SVG."""
    result = measure_burst(tmp_path / "made", tmp_path / "out", low=50, high=5_000, seconds=1, pin=True)
    assert (result.lost, result.doubled) == (0, 0)
    assert result.largest_batch > result.low * SAMPLE_S
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"burst.svg", "burst.json"}
    root = ET.parse(tmp_path / "out" / "burst.svg").getroot()  # noqa: S314 - our own file
    assert root.tag.endswith("svg")


def test_scaling_out_loses_and_doubles_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One worker has all, a second comes and goes; each phase has its pause, a steady one moves nothing."""
    for name in ("WARM_S", "STEADY_S", "AFTER_S"):
        monkeypatch.setattr(scaleout, name, 0.5)
    result = scaleout.measure(tmp_path, records=5_000, rate=500, repeat=1, workers=(1,))
    assert (result.lost, result.doubled) == (0, 0)
    assert [(load.workers, sum(load.partitions)) for load in result.loads] == [(1, 8)]
    assert [phase.name for phase in result.phases] == ["steady", "a worker comes", "a worker leaves", "rolling restart"]
    assert result.phases[0].moved == 0
    assert all(0 < phase.longest_pause_s <= phase.seconds for phase in result.phases)


def test_what_a_task_costs_is_told_apart_from_its_model(tmp_path: Path) -> None:
    """Each case scores every record; a task costs the scorer less its model, less the first case's same."""
    result = measure_tasks(tmp_path, 1_000, (CASES[0], CASES[3]))
    assert [row.n <= 1_000 for row in result.rows] == [True, True]
    first, second = (result.costs[case.name] for case in (CASES[0], CASES[3]))
    assert first.task_us == 0
    beside = first.scorer_us - first.model_us
    assert second.task_us == pytest.approx(second.scorer_us - second.model_us - beside, abs=0.05)
    assert result.ratios == {name: cost.ratio for name, cost in result.costs.items()}
