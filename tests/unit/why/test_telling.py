"""What is told of an observation: inputs, the score made again, contributions, and what could not be had."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from services.retrainer.main import train
from shared.core.bundle import MANIFEST
from shared.core.errors import Unavailable
from shared.core.pipeline import PipelineSpec
from shared.core.privacy import Redactor
from shared.core.records import BundleRef, Observation, Prediction, Rollout
from shared.runtime.settings import MlflowSettings, Settings
from tailrace.why.around import Around
from tailrace.why.bundle import open_bundle, place_of, ref_of
from tailrace.why.run import run_data
from tailrace.why.tell import told
from tailrace.why.terms import Data, Model, Place, Truth, Why
from tailrace.why.text import why_text
from tests.support.bundles import START, HasSpec, write_history
from tests.support.spec import FEATURES, make_spec

LINEAR = {
    "estimator": "sklearn.linear_model.LogisticRegression",
    "numeric": "standard",
    "impute": "median",
    "category": "onehot",
    "runtimes": ["sklearn"],
}
FOREST = {
    "estimator": "sklearn.ensemble.RandomForestClassifier",
    "parameters": {"n_estimators": 12, "max_depth": 5},
    "impute": "median",
    "runtimes": ["onnx"],
}
HISTOGRAM = {
    "estimator": "sklearn.ensemble.HistGradientBoostingClassifier",
    "parameters": {"max_iter": 10, "early_stopping": False},
    "runtimes": ["sklearn"],
}
AWAY = Settings(mlflow=MlflowSettings(url="http://127.0.0.1:1"))


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Threads of histogram boosting wait for each other by spinning."""
    with threadpool_limits(1):
        yield


def trained(folder: Path, task: str = "binary", **changes: Any) -> tuple[PipelineSpec, BundleRef]:
    """A pipeline, and the bundle of its model."""
    spec = make_spec(task, **changes)
    (folder / "history").mkdir()
    files = write_history(folder / "history", task)
    report = train(HasSpec(spec), AWAY, lambda _: None, files=files, out=folder / "bundle", state=folder / "state")
    return spec, report.ref


def observed(spec: PipelineSpec, ref: BundleRef, folder: Path, **changes: Any) -> Observation:
    """An observation as a scorer writes it, with the score that the bundle gives."""
    record = {"id": "p1", "depot": "north", "at": START, "weight": 6.5, "carrier": "B", "phone": "+49 30 1234567"}
    body = Redactor(spec.privacy, spec.record, b"0123456789abcdef").body(msgspec.json.encode(record | changes))
    assert body is not None
    blank = Prediction(1, "p1", "north", (2, 1041), START, 0.0, "late", ref.version, ref.digest[:16], 3)
    seen = Observation(1, blank, msgspec.Raw(body), {"weather": {"wind": 12.5}}, ref.digest, START + 9)
    bundle = open_bundle(spec, AWAY, ref, folder / "state")
    again = bundle.again(seen, bundle.matrix(seen))
    made = msgspec.structs.replace(blank, score=again.score, label=again.label, ages={"weather": 90.0})
    return msgspec.structs.replace(seen, prediction=made)


def why(spec: PipelineSpec, seen: Observation, ref: BundleRef | None, folder: Path, **options: Any) -> Why:
    """What is told of it."""
    label = Truth("late", START + 7_200_000, 1, (0, 77), 1)
    shadow = msgspec.structs.replace(seen, prediction=msgspec.structs.replace(seen.prediction, version="2", score=0.25))
    found = Around(seen, options.pop("label", label), options.pop("shadows", (shadow,)), options.pop("again", 0))
    wanted = {"contributions": False} | options
    return told(spec, AWAY, Place(2, 5), found, ref, lambda _: None, state=folder / "state", **wanted)


def test_a_linear_answer_is_explained_without_being_asked_for_contributions(tmp_path: Path) -> None:
    """Every part of it, and in text too; personal fields are not there to be told."""
    spec, ref = trained(tmp_path, model=LINEAR)
    seen = observed(spec, ref, tmp_path)

    found = why(spec, seen, ref, tmp_path)

    assert found.again is not None
    assert (seen.prediction.score, True) == (found.again.score, found.again.equal)
    assert {"weight": (6.5, 6.5, None), "stops": (None, None, None), "carrier": ("B", "B", None),
            "wind": (12.5, 12.5, 90.0)} == {i.feature: (i.given, i.seen, i.age) for i in found.inputs}  # fmt: skip
    assert found.contributions is not None
    assert (True, ["weight", "stops", "carrier", "wind"]) == (
        found.contributions.exact,
        list(found.contributions.parts),
    )
    odds = np.log(seen.prediction.score / (1 - seen.prediction.score))
    assert odds == pytest.approx(found.contributions.raw, abs=1e-5)
    assert () == found.unknown
    text = why_text(found)
    print(text)
    for words in (
        *("parcels.records[2]@1041", "id p1", "key north", f"late  {seen.prediction.score!r}", "weather.wind", "90 s"),
        *("the same to the last digit", "revision 1 (1 earlier)", "labels[0]@77", "shadow   version 2", "local"),
        *(ref.digest, "2023-11-14", "log odds", "what the model says"),
    ):
        assert words in text
    assert b"1234567" not in msgspec.json.encode(found)


def test_trees_are_taken_apart_when_it_is_asked_for_and_need_their_run(tmp_path: Path) -> None:
    """A bundle that scores with ONNX has no estimator: without a run in MLflow it says so, and tells the rest."""
    spec, ref = trained(tmp_path, model=FOREST)
    seen = observed(spec, ref, tmp_path)
    plain, asked = why(spec, seen, ref, tmp_path), why(spec, seen, ref, tmp_path, contributions=True)
    assert (None, ()) == (plain.contributions, plain.unknown)
    assert asked.contributions is None
    assert ["contributions: version local has no run in MLflow"] == [line.split(",")[0] for line in asked.unknown]
    assert asked.again is not None
    assert asked.again.equal
    assert "importance" in why_text(plain)


def test_a_histogram_that_scores_as_scikit_learn_is_taken_apart_from_its_bundle(tmp_path: Path) -> None:
    """With categories and missing values, to the last digits."""
    spec, ref = trained(tmp_path, "multiclass", model=HISTOGRAM)
    seen = observed(spec, ref, tmp_path, carrier="Z")
    found = why(spec, seen, ref, tmp_path, contributions=True)
    assert found.contributions is not None, found.unknown
    assert found.contributions.exact
    assert abs(found.contributions.total - found.contributions.raw) < 1e-9


def test_a_score_that_does_not_come_again_is_told(tmp_path: Path) -> None:
    """Another number in the journal than the bundle gives, by however little."""
    spec, ref = trained(tmp_path, "regression", model={**LINEAR, "estimator": "sklearn.linear_model.Ridge"})
    seen = observed(spec, ref, tmp_path)
    other = np.nextafter(seen.prediction.score, 9e9)
    changed = msgspec.structs.replace(seen, prediction=msgspec.structs.replace(seen.prediction, score=float(other)))
    found = why(spec, changed, ref, tmp_path, label=None, again=1)
    assert found.again is not None
    assert (seen.prediction.score, False) == (found.again.score, found.again.equal)
    assert ("the record was scored 2 times; this is one of them",) == found.unknown
    text = why_text(found)
    assert "NOT the same" in text
    assert "none so far" in text


def test_an_answer_whose_bundle_is_gone_or_spoilt_is_told_without_it(tmp_path: Path) -> None:
    """What the journal has is told; what it has not is named with its reason."""
    spec, ref = trained(tmp_path, model=LINEAR)
    seen = observed(spec, ref, tmp_path)
    gone = why(spec, seen, None, tmp_path)
    assert (None, None) == (gone.again, gone.contributions)
    assert ("the bundle: version local does not stand in models",) == gone.unknown
    assert [6.5, None, "B", 12.5] == [one.given for one in gone.inputs]
    assert [None] * 4 == [one.seen for one in gone.inputs]
    manifest = tmp_path / "bundle" / MANIFEST
    manifest.write_bytes(manifest.read_bytes() + b" ")
    for copy in (tmp_path / "state" / "models").glob(f"{ref.digest}/{MANIFEST}"):
        copy.unlink()
    spoilt = why(spec, seen, ref, tmp_path)
    assert ["the bundle"] == [line.split(":")[0] for line in spoilt.unknown]
    assert "could not be scored again" in why_text(spoilt)


def test_a_pipeline_that_changed_since_is_told(tmp_path: Path) -> None:
    """A record that does not fit any more, or features that the bundle does not know."""
    spec, ref = trained(tmp_path, model=LINEAR)
    seen = observed(spec, ref, tmp_path)
    odd = msgspec.structs.replace(seen, record=msgspec.Raw(b'{"id":"p1","depot":"north","at":5,"weight":"6"}'))
    assert ["what the model saw"] == [line.split(":")[0] for line in why(spec, odd, ref, tmp_path).unknown]
    fewer = make_spec(model=LINEAR, features=FEATURES[:3], lookups={})
    assert ["the bundle"] == [line.split(":")[0] for line in why(fewer, seen, ref, tmp_path).unknown]


def test_no_byte_of_a_producer_reaches_the_terminal(tmp_path: Path) -> None:
    """A word with control characters is shown with escapes, and cut where it is endless."""
    spec, ref = trained(tmp_path, model=LINEAR)
    text = why_text(why(spec, observed(spec, ref, tmp_path, carrier="\x1b[2J\n" + "x" * 200), ref, tmp_path))
    assert "\x1b" not in text
    assert "x" * 100 not in text


def test_hashed_fields_are_told_as_hashes_and_do_not_hinder(tmp_path: Path) -> None:
    """Whatever their type was: no feature is made of them."""
    spec, ref = trained(tmp_path, model=LINEAR, privacy={"drop": ["phone"], "hash": ["id"]})
    seen = observed(spec, ref, tmp_path)
    assert b'"p1"' not in bytes(seen.record)
    found = why(spec, seen, ref, tmp_path)
    assert found.again is not None
    assert found.again.equal


def test_the_bundle_is_found_by_its_digest_in_either_role() -> None:
    """Champion or challenger, in any epoch."""
    one, two = BundleRef("1", "file:///a", "a" * 64), BundleRef("2", "file:///b", "b" * 64)
    values = [msgspec.json.encode(Rollout("p", 1, one, "active", challenger=two, mode="shadow"))]
    assert (one, two, None) == tuple(ref_of(values, digest * 64) for digest in "abc")


def test_the_class_that_is_explained_is_the_one_whose_score_is_told() -> None:
    """Of two the positive one, wherever it stands; of many the one that was chosen; of a regression there is none."""
    assert (1, 0) == tuple(place_of(make_spec(), c, "on_time") for c in (["on_time", "late"], ["late", "on_time"]))
    assert place_of(make_spec("multiclass"), ["early", "late", "on_time"], "on_time") == 2
    assert place_of(make_spec("regression"), [], 1.5) == 0


class Runs(BaseHTTPRequestHandler):
    """Artifacts of one run, for whoever has the password."""

    asked: ClassVar[list[tuple[str, str]]] = []

    def do_GET(self) -> None:
        """Note who asks, and answer."""
        self.asked.append((self.path, self.headers.get("Authorization", "")))
        there = self.path == "/artifacts/7/data.json"
        self.send_response(200 if there else 404)
        self.end_headers()
        if there:
            self.wfile.write(b'{"fingerprint":"ab","records":3,"from":1,"offsets":{"outcomes/3":[10,99]}}')

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def runs() -> Iterator[str]:
    """Where the runs are."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Runs)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    Runs.asked.clear()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_the_data_of_a_run_is_fetched_from_beside_its_bundle(runs: str, tmp_path: Path) -> None:
    """With the registry's password, and from nowhere but the registry."""
    (tmp_path / "password").write_text("secret\n")
    mlflow = MlflowSettings(url=runs, username="me", password_file=str(tmp_path / "password"))
    found = run_data(mlflow, BundleRef("7", f"{runs}/artifacts/7/bundle", "a" * 64))
    assert Data(3, "ab", {"outcomes/3": (10, 99)}) == found
    assert [("/artifacts/7/data.json", "Basic bWU6c2VjcmV0")] == Runs.asked
    for uri in (f"{runs}/artifacts/8/bundle", f"{runs}0/7/bundle", "file:///tmp/bundle", f"{runs}/artifacts/7/other"):
        with pytest.raises(Unavailable):
            run_data(mlflow, BundleRef("7", uri, "a" * 64))
    assert 2 == len(Runs.asked)


def test_offset_ranges_are_told_in_text() -> None:
    """One line each."""
    data = Data(25_493, "ee9c", {"outcomes/0": (0, 1_200), "outcomes/1": (5, 70)})
    model = Model("1", "d" * 64, 1, trained_from=START, trained_until=START + 9, run_id="r", data=data)
    made = Prediction(1, "p1", "north", (2, 1041), START, 0.5, "late", "1", "d" * 16, 3)
    text = why_text(
        Why(pipeline="p", place=Place(2, 5), prediction=made, model=model, inputs=(), contributions=None, label=None,
            again=None, shadows=(), unknown=("a thing: \x1b[2J",))
    )  # fmt: skip
    for words in ("25,493 of them, fingerprint ee9c", "offsets of outcomes/0: 0 to 1,200", "outcomes/1: 5 to 70"):
        assert words in text
    assert "\x1b" not in text
