"""Dead letters carry the original bytes where they may, a reason and a position always, and never a forged header."""

import pytest

from shared.core.deadletter import MAX_BODY, MAX_CARRIED, MAX_DETAIL, MAX_KEY, dead_letters
from shared.core.ports import Reject
from shared.core.records import TRACEPARENT, TRACESTATE, Headers, Position
from shared.testing.log import MemoryMessage


def letter(
    value: bytes | None = b"{}", detail: str = "", headers: Headers | None = None, key: bytes | None = b"k"
) -> tuple[bytes | None, bytes | None, list[tuple[str, bytes | None]]]:
    """Key, body and headers of one letter."""
    message = MemoryMessage(Position("shop.records", 3, 42), key, value, headers)
    block = dead_letters("shop.records.dlq", "shop.records", [Reject(message, "not_json", detail)])
    assert block.headers is not None
    return block.keys[0], block.values[0], list(block.headers[0] or ())


def test_letter_is_the_original_with_reason_and_position() -> None:
    """An operator finds the record by the letter alone."""
    key, body, headers = letter(b"\xff\x00", "byte 0")
    assert (key, body) == (b"k", b"\xff\x00")
    assert headers == [
        ("tailrace-reason", b"not_json"), ("tailrace-detail", b"byte 0"),
        ("tailrace-source", b"shop.records[3]@42"), ("tailrace-body", b"original"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "body", "said"),
    [
        (None, None, b"null"),
        (b"", b"", b"original"),
        (b"x" * MAX_BODY, b"x" * MAX_BODY, b"original"),
        (b"x" * (MAX_BODY + 1), None, b"reference"),
    ],
    ids=["null", "empty", "at the limit", "one above"],
)
def test_body_too_large_for_the_topic_becomes_a_reference(value: bytes | None, body: bytes | None, said: bytes) -> None:
    """B17: one byte above the limit the letter refers to the record's position."""
    _, got, headers = letter(value)
    assert (got, dict(headers)["tailrace-body"]) == (body, said)


@pytest.mark.parametrize(
    ("key", "kept", "said"), [(b"k" * MAX_KEY, True, b"original"), (b"k" * (MAX_KEY + 1), False, b"reference")]
)
def test_a_key_too_large_for_the_letter_makes_it_a_reference(key: bytes, kept: bool, said: bytes) -> None:  # noqa: FBT001 - a parameter of the test
    """B31: with both at their limits the letter fits the client's 1,000,000 bytes; without its key none is replayed."""
    got, body, headers = letter(b"x" * MAX_BODY, "d" * 2_000, key=key)
    assert (got, body) == ((key, b"x" * MAX_BODY) if kept else (None, None))
    assert dict(headers)["tailrace-body"] == said
    assert len(got or b"") + len(body or b"") + sum(len(n) + len(v or b"") for n, v in headers) < 990_000


def test_a_body_that_grows_when_it_is_written_anew_is_a_reference() -> None:
    """B17: `1e9` becomes `1000000000.0` once personal fields were taken out; what then does not fit is not sent."""
    message = MemoryMessage(Position("in", 0, 0), b"k", b"[1e9]")
    block = dead_letters("dlq", "in", [Reject(message, "not_json")], lambda _: b"x" * (MAX_BODY + 1))
    assert (block.values, dict((block.headers or [[]])[0] or ())["tailrace-body"]) == ([None], b"reference")


def test_detail_cannot_break_lines_or_grow() -> None:
    """B29: CR LF, ANSI, surrogates and separators are replaced; the length is bounded; other text stays."""
    _, _, headers = letter(detail="a\r\nb\x1b[31m\ud800\u2028\u202eé😀" + "x" * 1_000)
    said = (dict(headers)["tailrace-detail"] or b"").decode()
    assert said.startswith("a??b?[31m???é😀xxx")
    assert len(said) == MAX_DETAIL


def test_trace_context_is_carried_once_and_within_bounds() -> None:
    """B31: other headers stay behind; of repeated ones the first counts; what is oversized or null is none."""
    first = b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01"
    given: Headers = [
        ("x", b"1"), (TRACEPARENT, first), (TRACEPARENT, b"second"), (TRACESTATE, b"s" * (MAX_CARRIED + 1)),
        ("tailrace-reason", b"forged"),
    ]  # fmt: skip
    _, _, headers = letter(headers=given)
    assert headers[4:] == [(TRACEPARENT, first)]
    assert letter(headers=[(TRACEPARENT, None)])[2][4:] == []


def test_a_replayed_record_that_fails_again_says_which_try_it_was() -> None:
    """Origin and attempt come along, so that a loop of replays ends and its history can be read."""
    given: Headers = [
        ("tailrace-origin", b"shop.records.dlq[3]@7"),
        ("tailrace-source", b"x"),
        ("tailrace-attempt", b"2"),
    ]
    _, _, headers = letter(headers=given)
    assert headers[2] == ("tailrace-source", b"shop.records[3]@42")
    assert headers[4:] == [("tailrace-origin", b"shop.records.dlq[3]@7"), ("tailrace-attempt", b"2")]


def test_withheld_body_takes_its_key_along() -> None:
    """With personal fields the key is withheld as well, unless somebody makes it fit; both may say: not at all."""
    message = MemoryMessage(Position("in", 0, 0), b"jane", b'{"name":"jane"}')
    rejects = [Reject(message, "not_json")]
    redacted = dead_letters("dlq", "in", rejects, lambda _: b"{}")
    assert (redacted.keys, redacted.values) == ([None], [b"{}"])
    withheld = dead_letters("dlq", "in", rejects, lambda _: None, lambda _: b"pseudonym")
    assert (withheld.keys, withheld.values) == ([b"pseudonym"], [None])
    assert withheld.headers is not None
    assert dict(withheld.headers[0] or ())["tailrace-body"] == b"withheld"
