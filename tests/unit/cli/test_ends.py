"""How the command ends on what it did not foresee: one line, an exit code that scripts can trust."""

import errno
import sys
from collections.abc import Callable

import pytest
import typer

from shared.core.errors import Unavailable, UserError
from tailrace.cli import main as cli


@pytest.fixture
def ending(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], int]:
    """Run the command line with one command that ends in this error; gives the exit code."""

    def end(error: BaseException) -> int:
        app = typer.Typer(pretty_exceptions_enable=False)

        @app.command()
        def broken() -> None:
            raise error

        monkeypatch.setattr(cli, "app", app)
        monkeypatch.setattr(cli, "NOUNS", ())
        monkeypatch.setattr(sys, "argv", ["tailrace"])
        monkeypatch.delenv("TAILRACE_DEBUG", raising=False)
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return int(str(ended.value.code))

    return end


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/x/y"), 2, "tailrace: /x/y: No space left on device; free"),
        (OSError(errno.EROFS, "Read-only file system"), 2, "tailrace: a file: Read-only file system; free some"),
        (Unavailable("kafka: gone"), 1, "tailrace: kafka: gone; `tailrace doctor` looks for the cause\n"),
        (UserError("bad", remedy="mend it"), 2, "tailrace: bad; mend it\n"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_an_end_is_one_line_and_a_code(
    ending: Callable[[BaseException], int],
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    code: int,
    said: str,
) -> None:
    """A full disk and a read-only one are the user's to mend; a server that went away is a no; Ctrl-C is 130."""
    ended, printed = ending(error), capsys.readouterr()

    assert (ended, printed.out, printed.err[: len(said)]) == (code, "", said)


def test_a_bug_is_not_hidden(ending: Callable[[BaseException], int]) -> None:
    """An error of ours keeps its stack trace."""
    with pytest.raises(PermissionError):
        ending(PermissionError(errno.EACCES, "no"))
