"""The report: a page that stands by itself, whatever the names in it are and however little is known."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree as ET

import msgspec
import pytest

from shared.core.errors import UserError
from shared.core.monitor_records import PairCounts
from tailrace.monitor.main import write_page
from tailrace.monitor.report import report
from tailrace.monitor.status import status
from tests.support.pictures import Past

VOID = {"meta", "br"}


class Page(HTMLParser):
    """Takes a page apart; every element has to be closed where it was opened."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Remember it."""
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Of pictures."""
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        """It has to be the one that was opened last."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Remember it."""
        self.words.append(data)


def drawn(past: Past) -> str:
    """The page of a past."""
    picture = past.picture()
    return report(picture, status(picture, 121_000), 1_000)


def pictures(page: str) -> Iterator[ET.Element]:
    """Every picture of a page, parsed as XML: each has to be well-formed by itself."""
    for found in re.findall(r"<svg.*?</svg>", page, re.DOTALL):
        yield ET.fromstring(found)  # noqa: S314 - our own page


def two_versions(task: str = "binary") -> Past:
    """Two versions, the second worse in the end, its features moved, its last labels still to come."""
    past = Past(task).knows("v1", auc=0.77, accuracy=0.7).knows("v2", auc=0.78, accuracy=0.7)
    past.days(0, 14, "v1").days(14, 24, "v2").days(24, 26, "v2", worse=0.3, shift=1.0)
    return past.day(26, "v2", labelled=False, closed=False)


def test_of_nothing_there_is_a_page_too() -> None:
    """Empty topics: every part says unknown, and nothing is drawn."""
    page = drawn(Past())

    Page(page)
    assert "<svg" not in page
    assert page.count("unknown") > 5


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_a_page_without_labels(task: str) -> None:
    """Nothing has a label yet: question marks, and no 0 for quality."""
    page = drawn(Past(task).knows("v1").days(0, 3, labelled=False, closed=False))

    Page(page)
    marks = [text.text for one in pictures(page) for text in one.iter("text") if text.get("class") == "q"]
    assert marks
    assert set(marks) == {"?"}


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_the_page_asks_nobody_for_anything(task: str) -> None:
    """No script, no link, no picture, no style sheet, no address: it can be mailed, and opened without a network."""
    page = drawn(two_versions(task))
    parsed = Page(page)

    assert {tag for tag, _ in parsed.tags} & {
        "script",
        "link",
        "img",
        "iframe",
        "object",
        "embed",
        "base",
        "a",
    } == set()
    names = {name for _, attributes in parsed.tags for name in attributes}
    assert names & {"src", "href", "xlink:href", "action", "data", "srcset", "onload", "onclick"} == set()
    assert re.findall(r"https?:|//\w|url\(|@import", page) == []
    policy = next(one for tag, one in parsed.tags if tag == "meta" and "http-equiv" in one)
    assert (policy["content"] or "").startswith("default-src 'none'")


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_every_picture_names_its_axes(task: str) -> None:
    """Each is well-formed, says what it shows, and has a title above it; charts over time name both axes."""
    page = drawn(two_versions(task))
    found = list(pictures(page))

    assert len(found) >= 7
    assert all(one.get("aria-label") for one in found)
    assert page.count("<figure") == len(found) == page.count("<figcaption>")
    over_time = [one for one in found if "by window" in (one.get("aria-label") or "")]
    for one in over_time:
        said = [text.text or "" for text in one.iter("text")]
        assert any(text.startswith("window of event time, 1 d each (UTC)") for text in said)
        assert any(text.get("transform") for text in one.iter("text"))


def test_the_swap_the_goal_and_what_was_known_then_are_marked() -> None:
    """On quality over time stand both versions, the goal, and diamonds for the figures as they were known then."""
    past = two_versions()
    past.spec = msgspec.structs.replace(
        past.spec, monitoring=msgspec.structs.replace(past.spec.monitoring, goal={"auc": 0.74})
    )
    chart = next(iter(pictures(drawn(past.then(12, "v1", auc=0.7).then(15, "v2", auc=0.71)))))
    said = [text.text for text in chart.iter("text")]

    assert {"version v1", "version v2", "goal 0.74", "?"} <= set(said)
    assert [one.get("class") for one in chart.iter("polyline")].count("swap") == 1
    assert [one.get("class") for one in chart.iter("path")].count("then") == 2


def test_without_an_analyst_what_was_known_then_is_not_recorded() -> None:
    """A page says that nobody was there, instead of drawing what is known now."""
    assert "As known then: not recorded" in drawn(two_versions())


def test_hostile_names_are_only_text() -> None:
    """Versions, features, classes, slices, reasons and the title come out as they are, and never as elements."""
    evil = "<script>alert(1)</script>\"'><img src=x onerror=1>"
    labels = {"horizon": "2d", "classes": [evil, "late"], "positive": "late"}
    past = Past(sections={"labels": labels, "title": evil}, names=(evil, f"{evil}2", f"{evil}3")).knows(evil)
    past.days(0, 14, evil).days(14, 16, evil, shift=2.0).says("auc", "quality", "alarm", 15, evil, reasons=(evil,))
    past.refused["other" + evil] = evil

    page = drawn(past.goes_by(evil, {evil: 1.0}))
    parsed = Page(page)

    assert "<script" not in page
    assert "<img" not in page
    assert {tag for tag, _ in parsed.tags} & {"script", "img"} == set()
    assert all(not name.startswith("on") for _, attributes in parsed.tags for name in attributes)
    assert any("alert(1)" in word for word in parsed.words)
    list(pictures(page))


def test_many_features_and_classes_stay_readable() -> None:
    """Of 60 features the most moved are drawn and the others are in a table; of 40 classes the largest stand alone."""
    classes = [f"class{i}" for i in range(40)]
    past = Past("multiclass", sections={"labels": {"horizon": "6h", "classes": classes}},
                names=[f"f{i}" for i in range(60)]).knows("v1").days(0, 20)  # fmt: skip
    page = drawn(past)

    assert "the other 37" in page  # 60 features, the answers and what came true, without the first 25
    assert page.count('class="few"') <= 1
    assert "28 others" in page


def test_importance_is_shown_where_it_was_recorded() -> None:
    """The bundle's figures of importance stand beside how far each feature moved; without them it says so."""
    past = Past().knows("v1").days(0, 20)

    assert "not recorded" in drawn(past)
    assert ">0.2<" in drawn(past.goes_by("v1", {"weight": 0.2}))


def test_shadows_stand_beside_the_version_in_force() -> None:
    """Pairwise, on the same labels; where only a shadow was heard of, it is not drawn as if it were in force."""
    alone = drawn(Past().days(0, 3, "v2", shadow=True))
    past = Past().knows("v1").days(0, 3).days(0, 3, "v2", shadow=True)
    pairs = {"v1": PairCounts(n=1_234, both_right=900, champion_only=100, shadow_only=134, loss=-1_234 << 19)}
    card = next(one for one in past.known.cards.values() if one.shadow)
    past.card(msgspec.structs.replace(card, offset=10_000, sums=msgspec.structs.replace(card.sums, pairs=pairs)))

    assert "by window" not in alone
    assert re.search(r"<td class=\"w\">v2</td><td class=\"w\">v1</td><td>1,234</td>.*?<td>-0.5</td>", drawn(past))


def test_a_page_that_cannot_be_written(tmp_path: Path) -> None:
    """A folder that is not there, or a folder instead of a file, is the user's to mend."""
    for path in (tmp_path / "no" / "report.html", tmp_path):
        with pytest.raises(UserError, match="name a file in a folder that exists"):
            write_page("x", path)
