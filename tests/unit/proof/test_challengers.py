"""The proof of bad challengers: what it asks for, what goes wrong in a worker, and what it reads out of `models`."""

from typing import Any

import msgspec
import numpy as np
import pytest

from shared.core.bundle import Manifest, encode_manifest
from shared.core.errors import UserError
from shared.core.pipeline_file import decode
from shared.core.records import BundleRef, Rollout
from shared.core.rollout import RolloutTable
from tailrace.proof import challengers_worker as worker
from tailrace.proof.challengers_forge import versions_of
from tailrace.proof.challengers_plan import KINDS, PLANS, Plan, changes, request_of
from tailrace.proof.challengers_trial import Trial
from tailrace.proof.challengers_verdict import Row, Verdict, words
from tests.support.spec import make_spec, make_tree
from tests.support.wait import until

A, B = (BundleRef(v, f"file:///m/{v}", v * 64) for v in ("1", "2"))


def test_the_ten_are_those_of_the_promise() -> None:
    """Ten kinds, each by a name of its own; versions are numbered as MLflow will."""
    assert len({kind.name for kind in KINDS}) == len(KINDS) == 10
    few = request_of("canary", "constant, memory-leak")
    assert [kind.name for kind in few.kinds] == ["memory-leak", "constant"]
    assert versions_of(few) == {"2": "good", "3": "memory-leak", "4": "constant"}


@pytest.mark.parametrize(
    ("plan", "only", "told"),
    [("shadow", "constnat", "constnat is no kind of bad challenger"), ("blue", "", "there is no plan blue")],
)
def test_what_there_is_not_is_refused(plan: str, only: str, told: str) -> None:
    """A kind or a plan that does not exist is named, with those that do."""
    with pytest.raises(UserError, match=told):
        request_of(plan, only)


@pytest.mark.parametrize("plan", list(PLANS))
def test_the_copied_pipeline_file_is_right(plan: Plan) -> None:
    """What is laid over a pipeline's file passes its checks; a declared slice stays."""
    spec = make_spec(monitoring={"slices": {"carrier": ["B"]}})
    tree = {**make_tree(), "monitoring": {"slices": {"carrier": ["B"]}}}
    for section, said in changes(spec, plan).items():
        tree[section] = {**tree.get(section, {}), **said}
    made = decode(tree, "parcels")
    assert made.monitoring.slices == {"carrier": ("B",)}
    assert (made.rollout.shadow is not None) == (plan == "shadow")


class Half:
    """A model that says one half."""

    def predict(self, matrix: Any) -> Any:
        """See `Runtime`."""
        return np.full((len(matrix), 2), 0.5)


def test_each_fault_begins_when_it_should(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first 1,000 records are well, then answers are NaN, or slow. A leak keeps a bit a record, up to its bound."""
    slept: list[float] = []
    monkeypatch.setattr("tailrace.proof.challengers_worker.time.sleep", slept.append)
    monkeypatch.setattr(worker, "MEGABYTE", 1)
    first, more = np.zeros((1_000, 3)), np.zeros((10, 3))
    nan, slow, leak = (worker.Failing(Half(), k.name, 1_000) for k in KINDS if k.where == "worker")
    assert np.isfinite(nan.predict(first)).all()
    assert np.isnan(nan.predict(more)).all()
    slow.predict(first)
    assert slept == []
    slow.predict(more)
    assert slept == [10 * worker.SLOW]
    leak.predict(first)
    kept = leak._leak
    assert kept is not None
    until(lambda: len(kept.kept) == 1_000, "a bit a record", 10)
    leak.predict(first)
    until(lambda: len(kept.kept) == worker.MOST, "as much as it may keep", 10)


def test_only_the_named_version_fails(tmp_path: Any) -> None:
    """Another version is loaded as it is."""
    good = Half()
    load = worker.loading({"5": "memory-leak"}, lambda *_: good)
    for version in ("4", "5"):
        manifest = Manifest("p", version, "binary", (), ("a", "b"), "onnx", {}, 0.5, 0.0, 0.0, 0, 1)
        (tmp_path / "manifest.json").write_bytes(encode_manifest(manifest))
        assert (load("onnx", tmp_path) is good) == (version == "4")


def shadow(epoch: int, **changes: Any) -> Rollout:
    """Version 2 on trial as a shadow."""
    made = Rollout("p", epoch, A, "active", changed_at=1_000, challenger=B, mode="shadow", plan="trial")
    return msgspec.structs.replace(made, **changes)


def test_a_trial_ends_when_it_is_taken_back() -> None:
    """The signal and its words come out of the epoch's reason; a shadow that a canary follows is no end."""
    trial = Trial("2")
    table = RolloutTable([Rollout("p", 1, A, "active"), shadow(2)])
    assert not trial.look(table)
    table.put(shadow(2, state="revoked", reason="the shadow is over", changed_at=2_000))
    table.put(shadow(3, mode="canary", share=0.3, changed_at=2_000))
    assert not trial.look(table)
    assert (trial.step, trial.began) == ("canary 30%", 1_000)
    gone = shadow(
        3, mode="canary", share=0.3, state="revoked", reason="rolled back (speed): 30 times", changed_at=9_000
    )
    table.put(gone)
    assert trial.look(table)
    assert (trial.end, trial.signal, trial.reason, trial.ended) == ("rolled back", "speed", "30 times", 9_000)
    assert list(trial.steps.values()) == ["shadow", "canary 30%"]


def test_a_trial_ends_at_the_top_or_when_workers_refuse() -> None:
    """The champion's epoch of its own plan is an end; so is a refusal before any step."""
    top = Rollout("p", 2, B, "active", changed_at=5, plan="trial")
    trial = Trial("2")
    assert trial.look(RolloutTable([Rollout("p", 1, A, "active"), top]))
    assert (trial.end, trial.step) == ("champion", "champion")
    other = Trial("2")
    assert other.look(RolloutTable([shadow(2, state="revoked", reason="refused by workers (scorer-0: shape)")]))
    assert (other.end, other.signal, other.step) == ("rolled back", "refused", "")


def test_words_name_who_was_missed() -> None:
    """A person reads who was caught by what, and who was not."""
    good = Row(name="good", version="2", caught=False, end="champion", step="champion")
    bad = Row(name="constant", version="3", caught=True, end="rolled back", signal="answers", step="shadow", reason="x")
    lived = Row(name="wrong-units", version="4", caught=False, end="champion", step="champion")
    verdict = Verdict(
        ok=True, plan="shadow", n=10, seed=1, good=good, rows=[bad, lived], caught=1, missed=["wrong-units"],
        in_force="2", wanted="2", left=[], lost=0, doubled=0, dead_letters={}, wall_s=1.0,
    )  # fmt: skip
    told = words(verdict)
    assert "1 of 2 bad challengers were rolled back by the controller itself; not caught: wrong-units" in told
    assert "in force at the end: version 2 everywhere" in told
