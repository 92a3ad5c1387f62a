"""A candidate beside the champion on a small history: what counts, and what refuses it."""

from dataclasses import replace

import msgspec
import numpy as np
import pytest

from services.retrainer.challenge import BOTH, OWN, Material, broken, challenge, fresh
from services.retrainer.champion import Champion, as_given, champion_of
from services.retrainer.dataset import Dataset, load_dataset
from services.retrainer.gate import DataRefused, check_data
from services.retrainer.learn import Learned, learn
from services.retrainer.selection import only
from services.retrainer.slices import slices_of
from shared.core.codec import RecordCodec
from shared.core.gate import GateFigures
from shared.core.records import Prediction
from shared.runtime.clock import SystemClock
from shared.runtime.settings import Settings
from tests.support.bundles import HOUR, START, Kit, make_kit, write_history
from tests.support.spec import make_spec

SEED = 7
N, CUT = 1_500, 1_000  # parcels in the history, and those that the candidate may learn
SPEC = make_spec(
    monitoring={"slices": {"carrier": ["A", "B"], "weight": [5.0]}},
    history={"holdout": 0.25},
    retraining={"gate": {"holdout": "10d"}},
)
CODEC = RecordCodec(SPEC)


def silent(_: str) -> None:
    """Nobody listens."""


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Kit:
    """The champion's bundle, trained on 600 parcels."""
    return make_kit(tmp_path_factory.mktemp("champion"), spec=SPEC)


@pytest.fixture(scope="module")
def champion(kit: Kit) -> Champion:
    """The champion, fetched like any bundle."""
    return champion_of(SPEC, Settings(), kit.ref, kit.state, SystemClock())


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """A longer history."""
    files = write_history(tmp_path_factory.mktemp("history"), n=N, seed=SEED)
    return load_dataset(SPEC, CODEC, files, until=None, progress=silent)


def candidate(data: Dataset) -> Dataset:
    """What was known when the candidate was trained."""
    return only(data, data.times < START + CUT * HOUR)


def turned_over(data: Dataset) -> Dataset:
    """The same history, but from the candidate's training on everything is the other way round."""
    return replace(data, y=np.where(data.times >= START + CUT * HOUR, 1 - data.y, data.y))


@pytest.fixture(scope="module")
def learned(data: Dataset) -> Learned:
    """The candidate."""
    return learn(SPEC, CODEC, candidate(data), silent)


def judged(champion: Champion, learned: Learned, learnt: Dataset, full: Dataset, **given: Prediction) -> GateFigures:
    """A candidate of some records, judged on all of them that it may be judged on."""
    return challenge(SPEC, CODEC, Material(learnt, full, full, given), learned, champion, silent)


def test_a_good_candidate_passes_on_labels_that_neither_has_learnt(
    champion: Champion, learned: Learned, data: Dataset
) -> None:
    """The gate counts exactly the records after both trainings, by days, on the whole and on each declared slice."""
    figures = judged(champion, learned, candidate(data), data)
    after = data.times >= max(champion.manifest.trained_until, learned.content.trained_until)
    assert (figures.passed, figures.judged, figures.reasons) == (True, True, ())
    assert figures.whole.labels == after.sum()
    assert figures.whole.blocks == len(np.unique(data.times[after] // 86_400_000))
    assert set(figures.slices) == {"carrier=A", "carrier=B", "carrier=*", "weight<5", "weight>=5"}
    assert sum(figures.slices[name].labels for name in ("weight<5", "weight>=5")) == after.sum()
    assert figures.skills[BOTH].shown


def test_no_one_is_judged_on_what_it_has_learnt(champion: Champion, learned: Learned, data: Dataset) -> None:
    """A champion that was trained later than the candidate is judged after its own end; with none left, it is said."""
    until = START + 1_200 * HOUR
    later = replace(champion, manifest=msgspec.structs.replace(champion.manifest, trained_until=until))
    figures = judged(later, learned, candidate(data), data)
    assert figures.whole.labels == (data.times >= until).sum()
    now = msgspec.structs.replace(champion.manifest, trained_until=int(data.times[-1]) + 1)
    figures = judged(replace(champion, manifest=now), learned, candidate(data), data)
    assert (figures.passed, figures.judged, figures.whole.labels) == (True, False, 0)
    assert figures.reasons[0].startswith("not judged: 0 labels")
    assert fresh(data, 0, until).tolist() == np.flatnonzero(data.times >= until).tolist()


@pytest.mark.parametrize("seed", range(3))
def test_every_candidate_of_shuffled_labels_is_refused(champion: Champion, data: Dataset, seed: int) -> None:
    """It says that nothing was learned, also where the champion is so bad that anything is better."""
    print(f"seed {seed}")
    learnt = candidate(data)
    shuffled = replace(learnt, y=np.random.default_rng(seed).permutation(learnt.y))
    learned = learn(SPEC, CODEC, shuffled, silent)
    figures = judged(champion, learned, shuffled, data)
    assert not figures.passed
    assert {BOTH, OWN} == set(figures.skills)
    again = judged(champion, learned, shuffled, turned_over(data))
    assert not again.passed
    assert any("learned nothing" in reason for reason in again.reasons)


def test_after_a_change_what_was_learned_before_it_counts(champion: Champion, learned: Learned, data: Dataset) -> None:
    """Where everything was turned over after the trainings, the candidate's own holdout shows that it has learned."""
    figures = judged(champion, learned, candidate(data), turned_over(data))
    assert figures.skills[BOTH].value < 0
    assert figures.skills[OWN].shown
    assert not any("learned nothing" in reason for reason in figures.reasons)


def test_what_the_champion_said_counts_as_it_was_said(champion: Champion, learned: Learned, data: Dataset) -> None:
    """Predictions as given replace the champion's answers of now."""
    ids = list(map(CODEC.getter("id"), data.rows))
    given = {name: Prediction(1, name, "north", (0, 0), 0, 0.5, "late", "1", "d", 1) for name in ids}
    figures = judged(champion, learned, candidate(data), data, **given)
    assert figures.whole.champion == pytest.approx(np.log(2))
    assert as_given(SPEC, given["p0"]) == [0.5, 0.5]


def test_faulty_data_is_refused_in_words(champion: Champion, learned: Learned, data: Dataset) -> None:
    """B45: a leak, a column that lost its values, one class, ten rows, a column that tells nothing."""
    learnt = candidate(data)
    for warning, told in (
        ("feature weight equals the label: is it known before?", "training data: feature weight equals the label"),
        ("feature wind has no value at all", "training data: feature wind has no value at all, and the champion's had"),
    ):
        (reason,) = broken(SPEC, replace(learned, warnings=(warning,)), champion)
        assert reason.startswith(told)
    assert broken(SPEC, learned, champion) == []
    none = msgspec.structs.replace(champion.reference, features={})
    never = replace(champion, reference=none)
    assert broken(SPEC, replace(learned, warnings=("feature wind has no value at all",)), never) == []
    for bad in (
        replace(learnt, y=np.zeros(len(learnt))),
        only(learnt, np.arange(len(learnt)) < 10),
        replace(learnt, duplicates=500),
    ):
        with pytest.raises(DataRefused):
            check_data(SPEC, bad)


def test_a_broken_model_is_refused_in_words(champion: Champion, learned: Learned) -> None:
    """Golden scores that are not the file's, a hundred times slower, too large, badly calibrated."""
    content = learned.content
    wrong = [[1 - p for p in row] for row in content.golden.scores]
    golden = msgspec.structs.replace(content.golden, scores=wrong)
    assert (
        "golden scores differ" in broken(SPEC, replace(learned, content=replace(content, golden=golden)), champion)[0]
    )
    slow: dict[str, dict[str, float]] = {content.chosen.runtime: {"1000": 1e5}}
    assert "us a record" in broken(SPEC, replace(learned, content=replace(content, measured=slow)), champion)[0]
    small = msgspec.structs.replace(SPEC, model=msgspec.structs.replace(SPEC.model, max_bytes=10))
    assert "model.max_bytes" in broken(small, learned, champion)[0]


def test_slices_have_the_names_of_scorecards() -> None:
    """Words and all others, bounds and what has no value."""
    spec = make_spec(monitoring={"slices": {"carrier": ["A"], "stops": [3.0, 5.0]}})
    codec = RecordCodec(spec)
    rows = codec.decode(
        [
            msgspec.json.encode({"id": "a", "depot": "d", "at": START, "weight": 1.0, "carrier": word} | more)
            for word, more in (("A", {"stops": 3}), ("B", {"stops": 2}), ("C", {}))
        ]
    ).rows
    found = {name: mask.tolist() for name, mask in slices_of(spec, codec, rows).items()}
    assert found == {
        "carrier=A": [True, False, False], "carrier=*": [False, True, True],
        "stops<3": [False, True, False], "stops<5": [True, False, False], "stops=?": [False, False, True],
    }  # fmt: skip
