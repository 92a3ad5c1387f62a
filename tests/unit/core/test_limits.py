"""When a partition stops: so many dead letters in a row, or such a share of a window; only what is committed counts."""

from hypothesis import given
from hypothesis import strategies as st

from shared.core.limits import DeadLetterGuard
from shared.core.pipeline import DeadLetterLimit

LIMIT = DeadLetterLimit(in_a_row=4, share=0.5, window=10)


def admitted(guard: DeadLetterGuard, text: str) -> str:
    """Admit and settle; `x` is a dead letter."""
    why = guard.admit([c == "x" for c in text])
    if not why:
        guard.settle()
    return why


def test_so_many_in_a_row_stop() -> None:
    """The row goes on from batch to batch and ends with any good record."""
    guard = DeadLetterGuard(LIMIT)
    assert [admitted(guard, t) for t in ("xxx", ".", "xxx")] == ["", "", ""]
    assert admitted(guard, "x") == "4 dead letters in a row (limit 4)"


def test_such_a_share_of_a_full_window_stops() -> None:
    """More than half of the last ten records; exactly half goes on, and so does a window that is not full."""
    guard = DeadLetterGuard(LIMIT)
    assert admitted(guard, "xxx.xx") == ""
    assert admitted(guard, "....") == ""
    assert admitted(guard, ".....") == ""
    assert admitted(guard, "xxx.xx.") == ""
    assert admitted(guard, ".x") == "6 dead letters in 10 records (limit 50%)"


def test_what_was_not_settled_does_not_count() -> None:
    """An aborted batch that is tried again is admitted as if for the first time."""
    guard = DeadLetterGuard(LIMIT)
    for _ in range(10):
        assert guard.admit([True, True, True]) == ""
    guard.settle()
    assert guard.admit([True]) != ""
    assert guard.admit([False]) == "", "the refused batch left no trace either"


@given(st.lists(st.text("x.", max_size=12), max_size=12))
def test_guard_agrees_with_counting_everything_again(batches: list[str]) -> None:
    """For any outcomes in any batches the verdict is that of the whole history."""
    guard, history = DeadLetterGuard(LIMIT), ""
    for batch in batches:
        why = admitted(guard, batch)
        stopped = any(_stops(history + batch[: i + 1]) for i in range(len(batch)))
        assert bool(why) == stopped
        if why:
            return
        history += batch


def _stops(history: str) -> bool:
    last = history[-LIMIT.window :]
    return history.endswith("x" * LIMIT.in_a_row) or (len(last) == LIMIT.window and last.count("x") > 5)
