"""The books of `verify bad-input`: each kind of breach, planted, is found; and where there is none, none is."""

from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from tailrace.cli.verify import register
from tailrace.proof import bad_input
from tailrace.proof.bad_input_books import Books, Ended, Verdict, words

ENDED = Ended(restarts=0, same_process=True, seconds=1.0, wall_s=2.0, cluster_id="c")
GOOD = b'{"at":[0,%d],"score":0.5}'


def books() -> Books:
    """Three records: two predictions and a letter are to come."""
    made = Books()
    for offset in range(3):
        made.sent((0, offset), ("flip",))
    return made


def closed(made: Books, ended: Ended = ENDED) -> Verdict:
    """Of three records, the last a letter."""
    made.prediction(GOOD % 0)
    made.prediction(GOOD % 1)
    made.letter("p.records[0]@2", "not_json")
    return made.close("p", 1, ended)


def test_books_that_balance() -> None:
    """In = predictions + dead letters, by position: ok, with the bound of the rule of three."""
    verdict = closed(books())
    assert (verdict.ok, verdict.n, verdict.predictions, verdict.dead_letters) == (True, 3, 2, {"not_json": 1})
    assert (set(verdict.violations.values()), verdict.bound95, verdict.examples) == ({0}, 1.0, [])
    assert "3 mutated records = 2 predictions + 1 dead letters" in words(verdict)


def missing(made: Books) -> None:
    """A fourth record without an outcome."""
    made.sent((1, 9), ("nest", "cut"))


BREACHES: dict[str, tuple[Any, Ended]] = {
    "unaccounted": (missing, ENDED),
    "doubled": (lambda made: made.letter("p.records[0]@1", "not_json"), ENDED),
    "stray": (lambda made: made.prediction(GOOD % 77), ENDED),
    "poison": (lambda made: (made.sent((1, 0), ("flip",)), made.letter("p.records[1]@0", "poison")), ENDED),
    "unknown_reason": (lambda made: (made.sent((1, 0), ("flip",)), made.letter("p.records[1]@0", "hm")), ENDED),
    "not_finite": (lambda made: (made.sent((1, 0), ("x",)), made.prediction(b'{"at":[1,0],"score":null}')), ENDED),
    "restarts": (lambda _: None, Ended(1, True, 1.0, 2.0, "c")),
}


@pytest.mark.parametrize("name", BREACHES)
def test_each_breach_is_found(name: str) -> None:
    """One planted breach is one violation of its name, not ok, and no bound."""
    plant, ended = BREACHES[name]
    made = books()
    plant(made)
    verdict = closed(made, ended)
    assert (verdict.ok, verdict.bound95) == (False, None)
    assert {breach for breach, n in verdict.violations.items() if n} == {name}
    assert "BROKEN" in words(verdict)


def test_what_is_missing_is_shown_with_what_was_done_to_it() -> None:
    """The position, and the mutations that made the record."""
    made = books()
    missing(made)
    assert closed(made).examples == ["records[1]@9: no outcome (nest+cut)"]


@pytest.mark.parametrize("rubbish", [b"", b"null", b"{}", b'{"at":"x","score":1}', b"\xff"])
def test_rubbish_in_the_output_is_a_violation_and_no_crash(rubbish: bytes) -> None:
    """A prediction that is none, a letter without its position: stray."""
    made = books()
    made.prediction(rubbish)
    made.letter(rubbish.decode("latin-1"), "not_json")
    assert closed(made).violations["stray"] == 2


@pytest.mark.parametrize(("planted", "code"), [(False, 0), (True, 1)])
def test_the_command_ends_as_the_books_say(monkeypatch: pytest.MonkeyPatch, planted: bool, code: int) -> None:  # noqa: FBT001 - a parameter of the test
    """Exit code 1 where anything is unaccounted for, 0 where nothing is."""
    made = books()
    if planted:
        missing(made)
    verdict = closed(made)
    monkeypatch.setattr(bad_input, "bad_input", lambda *_: verdict)
    app = typer.Typer()
    register(app)
    assert CliRunner().invoke(app, ["verify", "bad-input", "flights", "--json"]).exit_code == code
