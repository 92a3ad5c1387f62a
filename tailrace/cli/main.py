"""The `tailrace` command: one file a noun, errors of users as one line, exit codes that scripts can trust."""

import errno
import os
import sys
from importlib import import_module

import typer

from shared.core.errors import LogError, TailraceError, Unavailable, UserError

# In the order in which a newcomer needs them.
NOUNS = (
    *("demo", "stack", "init", "validate", "topics", "generate", "train", "replay", "scorer", "features", "rollout"),
    *("models", "retrain", "dlq", "aggregates", "monitor", "ask", "archive", "backtest", "contract", "doctor"),
    *("bench", "verify", "why", "verify_rollout", "settings"),
)
# What any write may meet, wherever it stands: the user's to mend.
_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}
_DISK_REMEDY = "free some space there, or set TAILRACE_STATE, TAILRACE_CACHE and TMPDIR to folders on another disk"

app = typer.Typer(
    name="tailrace",
    help="Score streams of records on Kafka, exactly once. Start with: tailrace demo",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def options(
    *, debug: bool = typer.Option(False, "--debug", envvar="TAILRACE_DEBUG", help="Show stack traces.")
) -> None:
    """Score streams of records on Kafka, exactly once."""
    if debug:
        os.environ["TAILRACE_DEBUG"] = "1"


def main() -> None:
    """Run the command line and end with its exit code: 0 yes, 1 no, 2 wrong input, 130 interrupted."""
    for noun in NOUNS:
        import_module(f"tailrace.cli.{noun}").register(app)
    try:
        code = app(standalone_mode=False)
    except typer.Exit as done:
        code = done.exit_code
    except (KeyboardInterrupt, typer.Abort):
        print("interrupted", file=sys.stderr)
        code = 130
    except TailraceError as error:
        code = _say(error)
    except OSError as error:
        if error.errno not in _DISK:
            raise
        code = _say(UserError(f"{error.filename or 'a file'}: {error.strerror}", remedy=_DISK_REMEDY))
    except Exception as error:  # click's own usage errors know how to show themselves
        show = getattr(error, "show", None)
        if show is None:
            raise
        show()
        code = getattr(error, "exit_code", 2)
    sys.exit(code if isinstance(code, int) else 0)


def _say(error: TailraceError) -> int:
    if os.environ.get("TAILRACE_DEBUG"):
        raise error
    outside = isinstance(error, Unavailable | LogError)  # says what failed, and not always what to do
    print(f"tailrace: {error}{'; `tailrace doctor` looks for the cause' if outside else ''}", file=sys.stderr)
    return 2 if isinstance(error, UserError) else 1


if __name__ == "__main__":
    main()
