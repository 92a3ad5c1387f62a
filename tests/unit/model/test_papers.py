"""What stands beside a model in the registry: plots, card, and where its data came from."""

import dataclasses
from pathlib import Path
from xml.etree import ElementTree as ET

import msgspec
import numpy as np
import pytest

from services.retrainer.card import NOTHING, Told, card_of
from services.retrainer.dataset import Dataset, load_dataset
from services.retrainer.fingerprint import fingerprint_of
from services.retrainer.learn import Learned, learn
from services.retrainer.papers import tags_of, write_papers
from services.retrainer.plots import Held, calibration_of, confusion_of, over_time
from shared.core.codec import RecordCodec
from shared.core.gate import judge
from shared.core.pipeline import PipelineSpec
from tests.support.bundles import write_history
from tests.support.spec import make_spec

KINDS = {
    "binary": ["calibration", "confusion"],
    "multiclass": ["calibration", "confusion"],
    "regression": ["predicted", "residuals"],
}


def loaded(spec: PipelineSpec, folder: Path) -> tuple[RecordCodec, Dataset]:
    """The made-up parcels."""
    codec = RecordCodec(spec)
    return codec, load_dataset(spec, codec, write_history(folder, spec.task), until=None, progress=lambda _: None)


def learned_of(spec: PipelineSpec, folder: Path) -> Learned:
    """A training of them."""
    codec, data = loaded(spec, folder)
    return learn(spec, codec, data, lambda _: None)


@pytest.mark.parametrize("task", KINDS)
def test_each_task_has_its_pictures_and_a_card(task: str, tmp_path: Path) -> None:
    """They are SVG, the same for the same training; every figure stands in the card beside the trivial answer's."""
    learned = learned_of(make_spec(task), tmp_path)
    for name in ("one", "two"):
        write_papers(learned, NOTHING, "3", tmp_path / name)
    plots = sorted((tmp_path / "one" / "plots").iterdir())
    assert [plot.name for plot in plots] == [f"{n}.svg" for n in sorted([*KINDS[task], "importance", "over_time"])]
    for plot in plots:
        assert ET.parse(plot).getroot().tag.endswith("svg")  # noqa: S314 - our own file
        assert plot.read_bytes() == (tmp_path / "two" / "plots" / plot.name).read_bytes()
    card = (tmp_path / "one" / "card.md").read_text()
    own = {name: figure for name, figure in learned.content.metrics.items() if not name.startswith("baseline_")}
    for name, figure in own.items():
        assert f"| {name} | {figure:.4g} |" in card
    for column in learned.content.columns:
        assert f"| {column.name} | {column.kind} |" in card
    assert learned.fingerprint in card
    data = msgspec.json.decode((tmp_path / "one" / "data.json").read_bytes())
    assert (data["fingerprint"], data["records"]) == (learned.fingerprint, learned.n)


def test_the_card_says_what_the_gate_said_and_where_the_data_came_from(tmp_path: Path) -> None:
    """Reasons, losses of both by slice, offset ranges; words with a bar do not break a table."""
    learned = learned_of(make_spec(), tmp_path)
    losses, blocks = np.linspace(0.1, 0.9, 400), np.arange(400) // 100
    gate = judge(losses, losses + 0.5, blocks, {"carrier=A|B": np.arange(400) < 200})
    told = Told({"outcomes/0": (5, 105)}, gate, "2", "alarm (r1)")
    card = card_of(learned, told, "3")
    assert "**refused** (`not_worse`, 2 standard errors), beside version 2." in card
    assert all(f"- {reason}" in card.replace("\\|", "|") for reason in gate.reasons)
    assert "| carrier=A\\|B | 200 | 2 |" in card
    assert "| offsets of outcomes/0 | 5 to 105 |" in card
    assert "| asked for by | alarm (r1) |" in card
    assert tags_of(learned, told) == {
        "tailrace.fingerprint": learned.fingerprint, "tailrace.offsets": '{"outcomes/0":[5,105]}',
    }  # fmt: skip
    many = Told({f"outcomes/{i}": (0, 10**12) for i in range(500)})
    assert tags_of(learned, many) == {"tailrace.fingerprint": learned.fingerprint}


def test_equal_data_have_equal_fingerprints(tmp_path: Path) -> None:
    """One other label, time or id is another fingerprint."""
    codec, data = loaded(make_spec(), tmp_path)
    spec, usual = make_spec(), fingerprint_of(make_spec(), codec, data)
    assert fingerprint_of(spec, *loaded(spec, tmp_path)) == usual
    y, times = data.y.copy(), data.times.copy()
    y[7] = 1 - y[7]
    times[7] += 1
    others = [
        dataclasses.replace(data, y=y), dataclasses.replace(data, times=times),
        dataclasses.replace(data, rows=[*data.rows[1:], data.rows[0]]),
    ]  # fmt: skip
    assert len({usual, *(fingerprint_of(spec, codec, other) for other in others)}) == 4


def test_what_is_drawn_adds_up() -> None:
    """Confusion, calibration and loss over time of four answers, by hand."""
    spec = make_spec()
    positive = np.array([0.9, 0.8, 0.2, 0.6])
    answers = np.column_stack([1 - positive, positive])
    held = Held(np.array([1.0, 0.0, 0.0, 1.0]), answers, np.array([0, 1, 2, 3]), np.array([0.0, 1.0]))
    assert confusion_of(spec, held).tolist() == [[1, 1], [0, 2]]
    said = [(round(given, 6), came, n) for given, came, n in calibration_of(spec, held)]
    assert said == [(0.2, 0.0, 1), (0.6, 1.0, 1), (0.8, 0.0, 1), (0.9, 1.0, 1)]
    assert over_time(spec, held) == []
    many = Held(np.tile(held.y, 60), np.tile(answers, (60, 1)), np.arange(240) * 3_600_000, held.fitted)
    points = over_time(spec, many)
    assert len(points) == 24
    losses = -np.log([0.9, 0.2, 0.8, 0.6])
    assert np.mean([ours for _, ours, _ in points]) == pytest.approx(losses.mean(), abs=0.01)
    assert {round(usual, 6) for _, _, usual in points} == {round(float(np.log(2)), 6)}


def test_without_labels_there_is_nothing_to_draw(tmp_path: Path) -> None:
    """The card says that nobody knows."""
    learned = learned_of(make_spec(), tmp_path)
    content = dataclasses.replace(learned.content, metrics={})
    blind = dataclasses.replace(learned, held=None, content=content)
    write_papers(blind, NOTHING, "1", tmp_path / "papers")
    assert not (tmp_path / "papers" / "plots").exists()
    assert "Nobody knows: it learned without labels." in (tmp_path / "papers" / "card.md").read_text()
