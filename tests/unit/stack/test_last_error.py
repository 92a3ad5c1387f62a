"""A worker's end is told with its reason, not with a number alone."""

from pathlib import Path

import pytest

from tailrace.stack.workers import last_error


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
