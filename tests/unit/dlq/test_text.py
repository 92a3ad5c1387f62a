"""What the commands print: escaped, counted, with the next command to type."""

import io

import pytest

from services.ingest.dlq.listing import listing
from services.ingest.dlq.terms import Report, Shown
from shared.core.dlq import Ledger, Letter, marker, read_letter
from shared.core.records import Headers, Position
from shared.testing.log import MemoryMessage
from tailrace.cli.dlq_text import SHOWN_BYTES, Told, list_text, replay_text, show_json, show_text

TOPIC = "shop.records.dlq"


def letter(
    offset: int = 0, reason: str = "not_json", body: bytes | None = b"{\x1b[31m", kind: str = "original"
) -> Letter:
    """A letter, one second after the one before it."""
    headers: Headers = [
        ("tailrace-reason", reason.encode()), ("tailrace-detail", b"odd\r\n\x1b[2J"),
        ("tailrace-source", b"shop.records[1]@9"), ("tailrace-body", kind.encode()), ("traceparent", b"00-\x1b"),
    ]  # fmt: skip
    return read_letter(TOPIC, MemoryMessage(Position(TOPIC, 0, offset), b"k\x00", body, headers, 1_000 * offset))


def test_reasons_are_grouped_the_most_frequent_first() -> None:
    """Counts, what was replayed, what cannot be, first and last, and the newest open letter as the example."""
    letters = [letter(0, "poison"), *(letter(i) for i in range(1, 5)), letter(5, "not_json", None, "withheld")]
    ledger = Ledger()
    ledger.put(marker(letters[4])[1])
    found = listing(TOPIC, letters, ledger)
    assert (found.letters, found.replayed) == (6, 1)
    first, second = found.reasons
    assert (first.reason, first.count, first.replayed, first.blocked) == ("not_json", 5, 1, 1)
    assert (first.first, first.last, first.example) == (1_000, 5_000, f"{TOPIC}[0]@5")
    assert (second.reason, second.count) == ("poison", 1)
    text = list_text([found], "shop")
    assert "6 letters, 1 of them replayed" in text
    assert "5 (1 replayed, 1 without their original body)  1970-01-01 00:00:01 to 1970-01-01 00:00:05 UTC" in text
    assert f"tailrace dlq show shop '{TOPIC}[0]@5'" in text


def test_a_settled_example_gives_way_to_an_open_one() -> None:
    """The example is a letter that something can be done about, where there is one."""
    ledger = Ledger()
    ledger.put(marker(letter(2))[1])
    assert listing(TOPIC, [letter(1), letter(2)], ledger).reasons[0].example == f"{TOPIC}[0]@1"
    ledger.put(marker(letter(1))[1])
    assert listing(TOPIC, [letter(1), letter(2)], ledger).reasons[0].example == f"{TOPIC}[0]@2"


def test_an_unknown_reason_is_listed_all_the_same() -> None:
    """A letter of another version, or of nobody, still counts."""
    (group,) = listing(TOPIC, [letter(0, "from_the_future")], Ledger()).reasons
    assert (group.reason, group.meaning) == ("from_the_future", "a code that this version does not know")
    assert list_text([listing(TOPIC, [], Ledger())], "shop") == f"{TOPIC}  no letters"


def test_a_letter_is_shown_without_harm() -> None:
    """No control character of a record reaches the terminal, from whichever part of it."""
    text = show_text(Shown(letter=letter(), verdict="send"))
    assert all(line.isprintable() for line in text.splitlines())
    assert "{\\x1b[31m" in text
    assert "would be sent" in text
    long = show_text(Shown(letter=letter(body=b"x" * (SHOWN_BYTES + 7)), verdict="already"))
    assert "... 7 bytes more: --raw gives them all" in long
    assert "replayed before" in long
    none = show_text(Shown(letter=letter(body=None, kind="withheld"), verdict="withheld"))
    assert "none (withheld)" in none


def test_a_letter_as_json_has_text_only_where_it_is_text() -> None:
    """Bytes are always there in base64; text is null where it would be a guess."""
    assert show_json(Shown(letter=letter(body=b"caf\xc3\xa9"), verdict="send"))["text"] == "café"
    binary = show_json(Shown(letter=letter(body=b"\xff"), verdict="send"))
    assert (binary["text"], binary["body"]) == (None, b"\xff")
    assert show_json(Shown(letter=letter(body=None), verdict="empty"))["body"] is None


@pytest.mark.parametrize(
    ("sent", "skipped", "dry", "said"),
    [
        (0, {}, False, "shop.records.dlq: no letter is meant; nothing to do"),
        (0, {"already": 3}, False, "shop.records.dlq: nothing to do\n  3 not sent: replayed before"),
        (1, {}, False, "1 letter sent to shop.records"),
        (2, {"empty": 1}, True, "2 letters would be sent to shop.records\n  1 not sent: no body"),
    ],
)
def test_a_replay_says_what_it_did(sent: int, skipped: dict[str, int], said: str, *, dry: bool) -> None:
    """How many went where, and what spoke against the others."""
    report = Report(
        pipeline="shop",
        topic=TOPIC,
        into="shop.records",
        dry_run=dry,
        sent=sent,
        skipped=skipped,  # type: ignore[arg-type] # literals
    )
    assert replay_text(report).startswith(said)


def test_progress_is_told_for_long_topics_only() -> None:
    """Nothing within two seconds, then a line each two seconds."""
    now = [0.0]
    stream = io.StringIO()
    told = Told(stream, lambda: now[0])
    for seconds in (0.5, 1.9, 2.1, 3.0, 4.2):
        now[0] = seconds
        told(TOPIC, int(seconds * 1_000), 9_000)
    assert stream.getvalue().splitlines() == [
        f"reading {TOPIC}: 2,100 of at most 9,000",
        f"reading {TOPIC}: 4,200 of at most 9,000",
    ]
