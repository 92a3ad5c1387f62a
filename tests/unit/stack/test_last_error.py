"""A worker's end is told with its reason, not with a number alone."""

from pathlib import Path

import pytest

from tailrace.stack.program import Event, EventKind
from tailrace.stack.workers import Teller, last_error


@pytest.mark.parametrize(
    ("log", "said"),
    [
        (None, ""),
        (b"", ""),
        (b"%3|1|FAIL| noise\n\xff\n", ""),
        (b'{"event": "up"}\n', ""),
        (b'{"error": "old"}\n{"error": "no model", "event": "ended"}\n%3|1|FAIL| noise\n', "no model"),
        (b'{"error": "' + b"x" * 400 + b'"}\n', "x" * 300),
    ],
)
def test_the_last_error_of_a_log(tmp_path: Path, log: bytes | None, said: str) -> None:
    """The newest line that names an error counts; noise, and a log that is not there, say nothing."""
    path = tmp_path / "worker.log"
    if log is not None:
        path.write_bytes(log)

    assert last_error(path) == said


def test_a_restart_is_told_with_its_reason_and_a_stop_is_not(tmp_path: Path) -> None:
    """One line for what was not asked for: how it ended, why, and what follows; silence for what was."""
    (tmp_path / "scorer-0.log").write_text('{"error": "no model"}\n')
    told: list[str] = []
    tell = Teller(tmp_path, told.append)
    ends: tuple[tuple[str, int, EventKind], ...] = (
        *(("scorer-0", 3, "restarting"), ("redis", -9, "restarting")),
        *(("scorer-0", 2, "gave_up"), ("kafka", 0, "stopped")),
    )

    for name, code, then in ends:
        tell(Event(0.0, name, "exited", 1, code))
        tell(Event(0.0, name, then, after_s=0.2))

    assert told == [
        "scorer-0  exit 3: the model of the epoch in force was refused - no model; starts again in 0.2 s",
        "redis  killed by SIGKILL; starts again in 0.2 s",
        f"scorer-0  exit 2: wrong configuration - no model; is not started again, see {tmp_path}/scorer-0.log",
    ]
