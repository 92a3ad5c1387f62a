"""`tailrace verify`: promises, checked on this machine by whoever wants to know."""

from typing import Annotated

import typer

verify = typer.Typer(no_args_is_help=True, help="Check what Tailrace promises, on this machine.")


def register(app: typer.Typer) -> None:
    """Add `tailrace verify`."""
    app.add_typer(verify, name="verify")


@verify.callback()
def group() -> None:
    """Check what Tailrace promises, on this machine."""


@verify.command()
def simulation(
    *,
    schedules: Annotated[int, typer.Option(min=1, help="How many schedules to run.")] = 10_000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the first schedule; the others count up from it.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Run the loop over a log in memory, with crashes, stalls, rebalances and bad answers at every step of it.

    A seed decides all of it. After each schedule the books are closed: nothing lost, doubled or out of order, no
    offset ahead of its outcome, each version as of its position, and all done once the trouble is over. The first
    schedule that breaks a promise ends the run: its seed and its trace are shown, and the exit code is 1.

    Example: `tailrace verify simulation --schedules 2000`
    """
    import sys  # noqa: PLC0415 - keeps --help fast

    from tailrace.cli.common import emit  # noqa: PLC0415 - the same
    from tailrace.proof.simulation import simulate, words  # noqa: PLC0415 - the same

    tell = sys.stderr.isatty()
    verdict = simulate(
        schedules, seed, progress=lambda n: print(f"\r{n:,} schedules", end="", file=sys.stderr) if tell else None
    )
    if tell:
        print("\r", end="", file=sys.stderr)
    emit(verdict, as_json, lambda: words(verdict))
    raise typer.Exit(0 if verdict.ok else 1)
