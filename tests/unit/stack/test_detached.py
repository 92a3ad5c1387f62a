"""What a detached stack says is passed on: progress as it comes, the error it ends with once."""

import subprocess
import sys
from pathlib import Path

import pytest

from shared.core.errors import UserError
from tailrace.stack.serve import _follow, split_error
from tailrace.stack.state import StateFolder


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", ("", "")),
        ("redis: up\nkafka: up\n", ("redis: up\nkafka: up", "")),
        ("redis: up\nerror: no disk\n  line two\n", ("redis: up", "no disk\n  line two")),
        ("error: no disk", ("", "no disk")),
        ("kafka says error: nothing\n", ("kafka says error: nothing", "")),
    ],
)
def test_progress_and_error_are_told_apart(text: str, parts: tuple[str, str]) -> None:
    """Only a line that begins with the mark is the error."""
    assert split_error(text) == parts


def test_an_error_is_said_once_however_slowly_its_process_ends(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A process that lives on for a while after its last word does not make that word progress."""
    log = tmp_path / "up.log"
    said = "import sys,time\nprint('redis: up')\nprint('error: no disk', flush=True)\ntime.sleep(0.5)\nsys.exit(2)"
    with log.open("wb") as output:
        process = subprocess.Popen([sys.executable, "-c", said], stdout=output)

    with pytest.raises(UserError, match=r"^no disk$"):
        _follow(process, StateFolder(tmp_path), log)
    assert capsys.readouterr().err == "redis: up\n"
