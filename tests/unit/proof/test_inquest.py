"""What Kafka's transaction tool prints, taken apart, and put into words."""

from pathlib import Path

from tailrace.proof.inquest import Open, blame, deeds, owner_of, table
from tailrace.proof.trail import Told

PRODUCERS = """15:12:30.100 [main] WARN org.apache.kafka.clients.NetworkClient - slow
ProducerId\tProducerEpoch\tLatestCoordinatorEpoch\tLastSequence\tLastTimestamp\tCurrentTransactionStartOffset\t
6         \t0            \t0                     \t858         \t1795273893935\t889                          \t
7         \t2            \t0                     \t0           \t1795273893929\tNone                         \t
8         \t1            \t0                     \t0           \t1795273893948\t1229                         \t
"""
STATES = """TransactionalId       \tCoordinator\tProducerId\tTransactionState\t
tailrace.m.scorer.2   \t1          \t8         \tCompleteAbort   \t
"""


def rows(folder: Path, text: str) -> list[dict[str, str]]:
    """The table of a log."""
    log = folder / "tool.log"
    log.write_text(text)
    return table(log)


def test_rows_are_told_from_the_tool_s_own_lines(tmp_path: Path) -> None:
    """Rows by header, without what the tool logs."""
    assert [row["ProducerId"] for row in rows(tmp_path, PRODUCERS)] == ["6", "7", "8"]
    assert rows(tmp_path, STATES)[0]["TransactionState"] == "CompleteAbort"


def test_a_tool_that_failed_gave_no_rows(tmp_path: Path) -> None:
    """No table, no rows."""
    assert rows(tmp_path, "java.util.concurrent.TimeoutException: no answer\n\tat Main\n") == []


def test_the_owner_s_transaction_begins_where_readers_stop(tmp_path: Path) -> None:
    """The first open one from there on; a producer without an open one is none."""
    found = rows(tmp_path, PRODUCERS)
    assert owner_of(found, 889) == Open("6", "0", 889)
    assert owner_of(found, 890) == Open("8", "1", 1229)
    assert owner_of(found[1:2], 0) is None


def test_a_transaction_that_its_coordinator_takes_for_ended_is_hanging(tmp_path: Path) -> None:
    """Nobody ends what the coordinator does not know or believes to be over; one under way is only named."""
    state = rows(tmp_path, STATES)[0]
    assert "tailrace.m.scorer.2 is CompleteAbort" in blame(Open("8", "0", 5), state)
    assert blame(Open("8", "0", 5), state).endswith("hanging")
    assert blame(Open("8", "0", 5), None).endswith("hanging")
    assert not blame(Open("8", "0", 5), {**state, "TransactionState": "Ongoing"}).endswith("hanging")


def test_an_attempt_is_told_with_what_became_of_its_worker() -> None:
    """Its own entries, and the faults that hit its process from then on."""
    told = [
        Told("fault", 0.5, 2, 77, text="stop:begun"),
        Told("began", 1.0, 2, 77, "2.77.0.1"),
        Told("began", 1.5, 1, 78, "1.78.0.1"),
        Told("fault", 2.0, 2, 77, text="stop:flushed"),
        Told("fault", 2.5, 2, 79, text="kill:flushed"),
    ]
    assert deeds("2.77.0.1", told) == "attempt 2.77.0.1: began at 1.000, fault stop:flushed at 2.000"
    assert deeds("", told) == "of no attempt that is known"
    assert deeds("3.1.0.1", told) == "attempt 3.1.0.1: nothing told"
