"""`tailrace backtest` on small streams: beside a recomputation by code of its own, and as a command."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import typer
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from typer.testing import CliRunner

from shared.core.bundle import Column
from shared.core.errors import UserError
from shared.core.pipeline_file import decode
from tailrace.backtest.bars import bars_of
from tailrace.backtest.models import Models, Trained
from tailrace.backtest.ours import ours
from tailrace.backtest.playing import gain, oracle, periodic, scored, static
from tailrace.backtest.plot import picture
from tailrace.backtest.stream import DAY, Stream, delayed
from tailrace.backtest.study import Report
from tailrace.backtest.synthetic import BEGIN, KINDS, of_generator
from tailrace.backtest.text import table
from tailrace.cli.backtest import register

WINDOW, DAYS, A_DAY, CHANGE = 6, 36, 800, 18  # days, days, records, the day on which the answer turns over in part
SHORT = 3  # days
NUMBERS = {"x0": {"type": "number"}, "x1": {"type": "number"}}
TREE: dict[str, Any] = {
    "schema": 1, "name": "tiny", "title": "A line that turns", "task": "binary",
    "record": {
        "id": "id", "key": "key", "event_time": "at",
        "fields": {"id": {"type": "string"}, "key": {"type": "string"}, "at": {"type": "timestamp"}, **NUMBERS},
    },
    "features": [{"name": "x0"}, {"name": "x1"}],
    "labels": {"horizon": "1d", "classes": ["no", "yes"], "positive": "yes"},
    "model": {"estimator": "sklearn.linear_model.LogisticRegression", "parameters": {"C": 1.0}},
    "retraining": {
        "window": "6d", "short": SHORT / WINDOW, "every": None, "alarm_period": "3d", "cooldown": "1d",
        "follow_ups": ["2d", "4d", "8d"], "gate": {"holdout": "2d"},
    },
    "partitions": 1,
}  # fmt: skip


def _made(seed: int) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    print(f"seed {seed}")
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((DAYS * A_DAY, 2)).astype(np.float32)
    before = np.arange(len(x)) < CHANGE * A_DAY
    y = np.where(before, x[:, 0] > 0, x[:, 1] > 0) ^ (rng.random(len(x)) < 0.05)
    return x, y.astype(np.float64)


def _stream(seed: int = 1) -> Stream:
    x, y = _made(seed)
    times = BEGIN + np.arange(len(x), dtype=np.int64) * (DAY // A_DAY)
    spec = decode(TREE, "tiny/pipeline.yaml")
    stream = Stream(
        "tiny", spec, (Column("x0", "numeric"), Column("x1", "numeric")), x, y, times, times,
        np.zeros(len(x), np.int8), BEGIN + WINDOW * DAY,
    )  # fmt: skip
    return delayed(stream, DAY)


@pytest.fixture
def models(tmp_path: Path) -> Models:
    """Of a stream of five weeks."""
    return Models(_stream(), tmp_path)


def _again(retrains: dict[int, int]) -> float:
    """Log-loss where on day `d` a model of the last `retrains[d]` days came into force, by code of its own."""
    x, y = _made(1)
    day = np.arange(len(x)) // A_DAY
    losses, model = list[float](), None
    for now in range(WINDOW + 1, DAYS):
        days = now if now == WINDOW + 1 else retrains.get(now, 0)
        if days:
            # On day `now` the labels of the day before are not known yet, but the one at the border is.
            known = (day >= now - days) & (np.arange(len(x)) <= (now - 1) * A_DAY)
            model = LogisticRegression(C=1.0).fit(x[known], y[known])
        assert model is not None
        said = model.predict_proba(x[day == now])[np.arange(A_DAY), y[day == now].astype(int)]
        losses += (-np.log(np.maximum(said, 2.0**-20))).tolist()
    return float(np.mean(losses))


def test_a_stream_that_needs_river_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package the message names it."""

    def missing(_: int) -> None:
        raise ModuleNotFoundError("No module named 'river'")

    monkeypatch.setitem(KINDS, "sea_abrupt", replace(KINDS["sea_abrupt"], make=missing))  # type: ignore[arg-type] # raises
    with pytest.raises(UserError, match="needs river"):
        of_generator("sea_abrupt", 1)


@pytest.mark.parametrize(("every", "phase"), [(1, 0), (4, 0), (4, 3), (10, 1)])
def test_a_clock_is_what_it_is_by_other_code(models: Models, every: int, phase: int) -> None:
    """Windows, delays and borders of steps: the same loss as a plain loop over days gives."""
    days = range(WINDOW + 1, DAYS)
    retrains = {now: WINDOW for i, now in enumerate(days) if i > 0 and (i + phase) % every == 0}
    run = periodic(models, every, phase)
    assert len(retrains) == run.retrains
    assert _again(retrains) == pytest.approx(run.figures(scored(models)).loss, abs=1e-6)


def test_static_and_oracle_bound_the_gain(models: Models) -> None:
    """Never retrained is 0, at every step is 1, and both are what other code says."""
    y = scored(models)
    never, always = static(models).figures(y), oracle(models).figures(y)
    assert _again({}) == pytest.approx(never.loss, abs=1e-6)
    assert [gain(one.loss, never.loss, always.loss) for one in (never, always)] == [0.0, 1.0]
    assert np.isnan(gain(1.0, 2.0, 2.0))


def test_ours_answers_by_the_models_that_it_says(models: Models) -> None:
    """The change is seen, refitted on the short window, followed up; the loss is that of those fits by other code."""
    told = ours(models)
    days = {(act.at - BEGIN) // DAY: act for act in told.acts}
    first = next(iter(days))
    assert CHANGE < first <= CHANGE + 5
    assert [act.kind for act in told.acts][:4] == ["alarm", "follow_up", "follow_up", "follow_up"]
    assert list(days)[:4] == [first, first + 2, first + 4, first + 8]
    taken = {day: SHORT if act.kind == "alarm" else WINDOW for day, act in days.items() if act.promoted}
    assert told.run.retrains == len(taken)
    assert _again(taken) == pytest.approx(told.run.figures(scored(models)).loss, abs=1e-6)


def test_an_alarms_candidate_learned_the_whole_window(models: Models) -> None:
    """What the gate says of an alarm's candidate is what other code says of a model of six days, not of three."""
    act = ours(models).acts[0]
    assert ("alarm", SHORT * DAY, True) == (act.kind, act.window, act.promoted)
    day = (act.at - BEGIN) // DAY
    x, y = _made(1)

    def losses(begin: int, until: int) -> NDArray[np.float64]:
        """Of a model of those days' labels, as known then, on all that came true by the alarm."""
        known = slice(begin * A_DAY, (until - 1) * A_DAY + 1)
        model = LogisticRegression(C=1.0).fit(x[known], y[known])
        judged = slice((day - 3) * A_DAY + 1, (day - 1) * A_DAY + 1)
        said: NDArray[np.float64] = model.predict_proba(x[judged])[np.arange(2 * A_DAY), y[judged].astype(int)]
        return -np.log(np.maximum(said, 2.0**-20))

    champion = losses(0, WINDOW + 1)
    assert act.figures is not None
    assert 2 * A_DAY == act.figures.whole.labels
    expected = float((losses(day - 2 - WINDOW, day - 2) - champion).mean())
    assert expected == pytest.approx(act.figures.whole.difference, abs=1e-6)
    assert expected != pytest.approx(float((losses(day - 2 - SHORT, day - 2) - champion).mean()), abs=1e-3)


def test_the_same_stream_gives_the_same_decisions(models: Models, tmp_path: Path) -> None:
    """A second run, with answers from the disk, decides alike and fits nothing."""
    first = ours(models)
    again = Models(_stream(), tmp_path)
    second = ours(again)
    assert (first.acts, first.requests) == (second.acts, second.requests)
    assert again.fits == 0


def test_nothing_is_learned_before_it_is_known(models: Models) -> None:
    """A model's records have labels that were known at its training, and a clock's request is of an id of its own."""
    model = Trained(BEGIN + 5 * DAY, BEGIN + 11 * DAY)
    places = models.learned(model)
    assert int(models.stream.known[places].max()) <= model.until
    assert int(models.stream.times[places].min()) >= model.begin
    requests = ours(models).requests
    assert len({one.id for one in requests}) == len(requests)


def test_shuffled_labels_never_pass(models: Models) -> None:
    """Each candidate has a twin of shuffled labels, and the gate refuses them all; without a gate all are taken."""
    told = ours(models, shuffled=True)
    assert [act.shuffled_refused for act in told.acts] == [True] * len(told.acts)
    free = ours(models, gate="none")
    assert all(act.promoted for act in free.acts)


SHAPE = {"stream", "gain", "retrains", "metric", "static", "oracle", "periodic", "range", "baseline", "delay", "runs"}


def _history(folder: Path) -> None:
    x, y = _made(2)
    folder.mkdir()
    tree = {**TREE, "history": {"records": "records.jsonl", "labels": "labels.jsonl"}}
    (folder / "pipeline.yaml").write_text(json.dumps(tree))
    with (folder / "records.jsonl").open("w") as records, (folder / "labels.jsonl").open("w") as labels:
        for i in range(len(x)):
            at, key = BEGIN + i * (DAY // A_DAY), f"k{i % 7}"
            a, b = (float(value) for value in x[i])
            records.write(json.dumps({"id": f"r{i}", "key": key, "at": at, "x0": a, "x1": b}) + "\n")
            label = {"id": f"r{i}", "key": key, "value": "yes" if y[i] else "no", "time": at + 3_600_000}
            labels.write(json.dumps(label) + "\n")


def _command(*arguments: str) -> Any:
    app = typer.Typer()
    register(app)
    app.callback()(lambda: None)
    return CliRunner().invoke(app, ["backtest", *arguments])


def test_a_pipeline_folder_is_a_stream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One JSON object with the promised keys on standard output, and a picture beside it; the text has every policy."""
    monkeypatch.setenv("TAILRACE_CACHE", str(tmp_path / "cache"))
    _history(tmp_path / "tiny")
    plot = tmp_path / "gain.svg"
    result = _command("--stream", str(tmp_path / "tiny"), "--phases", "2", "--json", "--gate", "--plot", str(plot))
    report = json.loads(result.stdout)
    assert result.exit_code == 0, result.stderr
    assert set(report) >= SHAPE
    assert (report["metric_name"], report["unit"], len(report["runs"])) == ("auc", "phases", 2)
    assert report["baseline"] == 0.5
    assert report["static"] < report["metric"] <= report["oracle"] + 0.02
    assert report["range"][0] <= report["gain"] <= report["range"][1]
    assert plot.read_text().startswith("<svg")
    told = msgspec.convert(report, Report)
    assert table(told).count("\n") >= 8
    assert picture(told) == plot.read_text()


def test_a_delay_that_is_none_is_refused() -> None:
    """The message says how to write it."""
    result = _command("--stream", "no_drift", "--delay", "soon")
    assert isinstance(result.exception, UserError)
    assert result.exception.remedy == "write 1d or 6h"


def test_a_bar_that_is_missed_is_named() -> None:
    """Of flights: too little gain and too many retrains are two missed bars; AUC is reached."""

    class Found:
        """A poor report."""

        stream, gain, retrains, metric, static, by_alarm_per_100k, gate = "flights_late", 0.5, 50, 0.72, 0.6, 0, None

    bars = bars_of(Found())
    assert [(bar.name, bar.ok) for bar in bars] == [
        ("share of the oracle's gain", False), ("retrains", False), ("AUC", True),
    ]  # fmt: skip
