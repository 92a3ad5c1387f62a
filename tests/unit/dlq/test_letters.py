"""Letters as an operator sees them: read whatever they hold, chosen, judged, and made into records again."""

import re
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core import reasons
from shared.core.dlq import (
    WHY,
    Ledger,
    Letter,
    Selection,
    Verdict,
    headers_again,
    judge,
    letter_topics,
    marker,
    missing,
    parse_position,
    plain,
    read_letter,
)
from shared.core.reason_meanings import MEANINGS
from shared.core.records import Headers, Position
from shared.testing.log import MemoryMessage

TOPIC = "shop.records.dlq"
AT = Position(TOPIC, 2, 17)
GOOD: Headers = [
    ("tailrace-reason", b"not_json"), ("tailrace-detail", b"byte 0"),
    ("tailrace-source", b"shop.records[1]@940"), ("tailrace-body", b"original"),
]  # fmt: skip


def letter(body: bytes | None = b"{}", headers: Headers | None = None, *, at: Position = AT, logged: int = 5) -> Letter:
    """A letter as it is read; `headers` replace those of a good one by name."""
    given_headers = headers or []
    named = {name for name, _ in given_headers}
    every = [*given_headers, *(h for h in GOOD if h[0] not in named)]
    return read_letter(TOPIC, MemoryMessage(at, b"k", body, every, logged))


def test_a_position_is_written_as_it_is_shown_or_short() -> None:
    """What `dlq list` prints can be given back; without its topic where the topic is known."""
    assert parse_position(str(AT)) == AT
    assert parse_position(" 2@17 ", TOPIC) == AT
    assert parse_position("features.dlq[0]@0", TOPIC) == Position("features.dlq", 0, 0)


@pytest.mark.parametrize(
    "text", ["", "2@17", "a[1]", "a[1]@", "a[-1]@2", "a[1]@2x", "[1]@2", "a[1]@1 or 2", "a[\u0661]@2"]
)
def test_what_is_no_position_is_refused(text: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(ValueError, match="is no position"):
        parse_position(text)


def test_a_letter_is_read_with_its_history() -> None:
    """Reason, detail, source, attempt, origin and trace; the first of repeated headers counts."""
    more: Headers = [
        ("tailrace-origin", b"shop.records.dlq[0]@3"), ("tailrace-attempt", b"2"), ("tailrace-attempt", b"9"),
        ("traceparent", b"00-a"), ("x", b"1"),
    ]  # fmt: skip
    read = letter(headers=more)
    assert (read.at, read.logged, read.key, read.body) == (AT, 5, b"k", b"{}")
    assert (read.reason, read.detail, read.source) == ("not_json", "byte 0", Position("shop.records", 1, 940))
    assert (read.attempt, read.origin, read.trace) == (2, "shop.records.dlq[0]@3", [("traceparent", b"00-a")])


@pytest.mark.parametrize("said", [b"", b"0", b"-1", b"2x", b"\xff", b"9" * 20, b" 2", "²".encode()])
def test_an_attempt_that_is_no_number_is_the_first(said: bytes) -> None:
    """A producer may send any header; it breaks nothing."""
    assert letter(headers=[("tailrace-attempt", said)]).attempt == 1


HEADER = st.tuples(st.sampled_from([n for n, _ in GOOD] + ["tailrace-attempt", "x"]), st.none() | st.binary(max_size=9))


@given(st.none() | st.binary(max_size=20), st.lists(HEADER, max_size=8))
def test_whatever_stands_in_the_topic_can_be_shown_and_judged(body: bytes | None, headers: Headers) -> None:
    """No message of anybody breaks a listing; what is sent has a body and a source."""
    read = read_letter(TOPIC, MemoryMessage(AT, None, body, headers))
    verdict = judge(read, Selection(), Ledger())
    assert (read.reason + read.detail + read.origin).isprintable() or not read.detail
    assert verdict != "send" or (read.body and read.source is not None)


@given(st.binary(max_size=60))
def test_plain_text_does_a_terminal_no_harm(data: bytes) -> None:
    """Any bytes become one printable line."""
    assert plain(data).isprintable() or not data


CASES: list[tuple[Letter, Verdict, Verdict]] = [
    (letter(), "send", "send"),
    (letter(None, [("tailrace-body", b"null")]), "empty", "empty"),
    (letter(b""), "empty", "empty"),
    (letter(b"{}", [("tailrace-body", b"redacted")]), "redacted", "redacted"),
    (letter(None, [("tailrace-body", b"withheld")]), "withheld", "withheld"),
    (letter(None, [("tailrace-body", b"reference")]), "reference", "reference"),
    (letter(b"{}", [("tailrace-body", b"other")]), "foreign", "foreign"),
    (letter(b"{}", [("tailrace-source", b"")]), "foreign", "foreign"),
    (letter(b"{}", [("tailrace-source", b"other.records[0]@1")]), "foreign", "foreign"),
    (letter(b"{}", [("tailrace-source", b"shop.entities[0]@1")]), "foreign", "foreign"),
    (letter(b"{}", [("tailrace-attempt", b"3")]), "attempts", "send"),
    (letter(b"{}", [("tailrace-attempt", b"2")]), "send", "send"),
    (letter(b"{}", [("tailrace-reason", b"forged_control")]), "forged", "send"),
]


@pytest.mark.parametrize(("read", "usual", "forced"), CASES)
def test_a_letter_is_judged(read: Letter, usual: Verdict, forced: Verdict) -> None:
    """Force, on a named position only, overrides doubts but makes no body where there is none."""
    assert judge(read, Selection(), Ledger()) == usual
    assert judge(read, Selection(force=True), Ledger()) == usual
    assert judge(read, Selection(positions=frozenset({AT}), force=True), Ledger()) == forced
    assert usual == "send" or usual in WHY


def test_a_marked_letter_is_settled_even_by_force() -> None:
    """Nothing sends a letter twice."""
    ledger = Ledger()
    ledger.put(marker(letter())[1])
    assert judge(letter(), Selection(positions=frozenset({AT}), force=True), ledger) == "already"
    assert judge(letter(at=AT._replace(offset=18)), Selection(), ledger) == "send"


def test_a_topic_made_anew_has_new_letters() -> None:
    """The same position at another time is another letter."""
    ledger = Ledger()
    ledger.put(marker(letter(logged=5))[1])
    assert (ledger.has(letter(logged=5)), ledger.has(letter(logged=6))) == (True, False)


def test_a_line_that_is_not_ours_is_not_passed_over() -> None:
    """Who goes on without it could send a letter twice."""
    with pytest.raises(msgspec.DecodeError):
        Ledger().put(b"{}")


def test_superseded_is_the_last_doubt() -> None:
    """In a compacted topic an old value stays behind, unless forced."""
    assert judge(letter(), Selection(), Ledger(), superseded=True) == "superseded"
    forced = Selection(positions=frozenset({AT}), force=True)
    assert judge(letter(), forced, Ledger(), superseded=True) == "send"


def test_a_record_again_names_its_letter_its_source_and_its_try() -> None:
    """The trace goes on; a control header never comes back."""
    read = letter(headers=[("tailrace-attempt", b"2"), ("traceparent", b"00-a"), ("tailrace-control", b"1")])
    assert headers_again(read) == [
        ("tailrace-origin", b"shop.records.dlq[2]@17"),
        ("tailrace-source", b"shop.records[1]@940"),
        ("tailrace-attempt", b"3"),
        ("traceparent", b"00-a"),
    ]


def test_conditions_add_up() -> None:
    """A letter is meant if every condition holds; the end of a time span is excluded."""
    read = letter(logged=5)
    assert Selection().has(read)
    assert Selection(reasons=frozenset({"not_json"}), since=5, until=6, positions=frozenset({AT})).has(read)
    for no in (
        Selection(reasons=frozenset({"poison"})),
        Selection(since=6),
        Selection(until=5),
        Selection(positions=frozenset({AT._replace(offset=1)})),
    ):
        assert not no.has(read)
    assert missing({AT, AT._replace(offset=1)}, {AT}) == ["shop.records.dlq[2]@1"]


def test_only_topics_of_parts_that_exist_are_asked() -> None:
    """Labels have dead letters once there is a label router."""
    assert letter_topics()[:2] == ("records.dlq", "features.dlq")


def test_every_reason_has_a_meaning_and_a_remedy() -> None:
    """The meanings of `dlq list` are those of the table in the document."""
    assert set(MEANINGS) == reasons.ALL
    text = Path(__file__).parents[3].joinpath("docs/delivery.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", text.partition("<!-- reasons:")[2], re.MULTILINE))
    assert {name: said.meaning for name, said in MEANINGS.items()} == {name: rows[name] for name in MEANINGS}
    assert all(said.remedy for said in MEANINGS.values())
