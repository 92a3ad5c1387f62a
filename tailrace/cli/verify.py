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


@verify.command()
def delivery(
    pipeline: Annotated[str, typer.Argument(help="Folder, pipeline.yaml or name.")] = "flights",
    *,
    records: Annotated[int, typer.Option(min=100, help="Records to score.")] = 100_000,
    kills: Annotated[int, typer.Option(min=0, help="SIGKILLs of workers; half of them at a named step.")] = 20,
    workers: Annotated[int, typer.Option(min=1, max=16, help="Scorer workers.")] = 2,
    broker_kills: Annotated[int, typer.Option(min=0, help="SIGKILLs of the broker.")] = 2,
    freezes: Annotated[int, typer.Option(min=0, help="Workers frozen beyond their session, then woken.")] = 3,
    seed: Annotated[int, typer.Option(min=0, help="Decides the schedule of faults.")] = 1,
    guarantee: Annotated[str, typer.Option(help="exactly_once; at_least_once is the negative control.")] = (
        "exactly_once"
    ),
    keep: Annotated[
        str, typer.Option(help="Folder for logs, trails and the broker's data if a promise was broken.")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Kill, freeze, add and remove workers and kill the broker while records flow, then check every promise.

    On an embedded stack of its own, gone at the end. Three readers check invariants I1 to I9: one during the faults,
    one afterwards, and Kafka's own Java consumer. Exit code 1 unless all hold. With `--guarantee at_least_once` all
    kills come between the flush and the commit: duplicates must then be found, or the checker is blind.

    Example: `tailrace verify delivery flights --records 20000 --kills 6 --seed 7`
    """
    import tempfile  # noqa: PLC0415 - keeps --help fast
    from pathlib import Path  # noqa: PLC0415 - the same

    from shared.adapters.pipeline_yaml import load_pipeline  # noqa: PLC0415 - the same
    from shared.core.errors import UserError  # noqa: PLC0415 - the same
    from tailrace.cli.common import emit  # noqa: PLC0415 - the same
    from tailrace.proof.delivery import prove  # noqa: PLC0415 - the same
    from tailrace.proof.plan import Request  # noqa: PLC0415 - the same
    from tailrace.proof.verdict import words  # noqa: PLC0415 - the same
    from tailrace.stack.signals import stoppable  # noqa: PLC0415 - the same
    from tailrace.stack.stack import to_stderr  # noqa: PLC0415 - the same

    loaded = load_pipeline(pipeline)
    if guarantee not in {"exactly_once", "at_least_once"}:
        raise UserError(f"--guarantee {guarantee} is no guarantee", remedy="exactly_once or at_least_once")
    request = Request(
        records=records, kills=kills, workers=workers, broker_kills=broker_kills, freezes=freezes, seed=seed,
        guarantee=guarantee,  # type: ignore[arg-type] # just checked
    )  # fmt: skip
    home = tempfile.TemporaryDirectory(prefix="tailrace-proof-", ignore_cleanup_errors=True)
    with stoppable(), home as folder:
        verdict = prove(loaded, request, Path(folder), to_stderr, Path(keep) if keep else None)
    emit(verdict, as_json, lambda: words(verdict))
    raise typer.Exit(0 if verdict.ok else 1)


@verify.command("frozen-batch")
def frozen(
    pipeline: Annotated[str, typer.Argument(help="Folder, pipeline.yaml or name.")] = "flights",
    *,
    seed: Annotated[int, typer.Option(min=0, help="Of the records.")] = 1,
    planted: Annotated[bool, typer.Option("--planted", help="With the bug that this case is about.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Freeze a worker with a batch in hand, let its partitions go and come back, then wake it: nothing is doubled.

    On an embedded stack of its own. With `--planted` workers take the group's metadata at the commit, not with the
    batch: the broker then accepts the old batch, each of its records comes twice, and the exit code is 1.

    Example: `tailrace verify frozen-batch flights`
    """
    import tempfile  # noqa: PLC0415 - keeps --help fast
    from pathlib import Path  # noqa: PLC0415 - the same

    from shared.adapters.pipeline_yaml import load_pipeline  # noqa: PLC0415 - the same
    from tailrace.cli.common import emit  # noqa: PLC0415 - the same
    from tailrace.proof.frozen import frozen_batch, words  # noqa: PLC0415 - the same
    from tailrace.stack.signals import stoppable  # noqa: PLC0415 - the same
    from tailrace.stack.stack import to_stderr  # noqa: PLC0415 - the same

    loaded = load_pipeline(pipeline)
    home = tempfile.TemporaryDirectory(prefix="tailrace-proof-", ignore_cleanup_errors=True)
    with stoppable(), home as folder:
        case = frozen_batch(loaded, Path(folder), seed, to_stderr, planted="fresh_token" if planted else "")
    emit(case, as_json, lambda: words(case))
    raise typer.Exit(0 if case.ok else 1)


@verify.command("bad-input")
def bad(
    pipeline: Annotated[str, typer.Argument(help="Folder, pipeline.yaml or name.")] = "flights",
    *,
    records: Annotated[int, typer.Option(min=1, help="Mutated records to send.")] = 100_000,
    seed: Annotated[int, typer.Option(min=0, help="Decides every mutation.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Spoil records of the pipeline's own history in every known way, and check that each ends as what it is.

    On an embedded stack of its own, with one worker as `tailrace scorer` starts it. Each record must become exactly one
    prediction or one dead letter with a reason, and the worker must never end. Exit code 1 if one is unaccounted for.

    Example: `tailrace verify bad-input flights --records 20000 --seed 7`
    """
    import tempfile  # noqa: PLC0415 - keeps --help fast
    from pathlib import Path  # noqa: PLC0415 - the same

    from shared.adapters.pipeline_yaml import load_pipeline  # noqa: PLC0415 - the same
    from tailrace.cli.common import emit  # noqa: PLC0415 - the same
    from tailrace.proof.bad_input import bad_input  # noqa: PLC0415 - the same
    from tailrace.proof.bad_input_books import words  # noqa: PLC0415 - the same
    from tailrace.stack.signals import stoppable  # noqa: PLC0415 - the same
    from tailrace.stack.stack import to_stderr  # noqa: PLC0415 - the same

    loaded = load_pipeline(pipeline)
    home = tempfile.TemporaryDirectory(prefix="tailrace-proof-", ignore_cleanup_errors=True)
    with stoppable(), home as folder:
        verdict = bad_input(loaded, records, seed, Path(folder), to_stderr)
    emit(verdict, as_json, lambda: words(verdict))
    raise typer.Exit(0 if verdict.ok else 1)


@verify.command()
def monitor(
    pipeline: Annotated[str, typer.Argument(help="Folder, pipeline.yaml or name.")] = "flights",
    *,
    records: Annotated[int, typer.Option(min=1_000, help="Predictions to observe.")] = 200_000,
    observer_kills: Annotated[int, typer.Option(min=0, help="SIGKILLs of observers; some lose their disk.")] = 30,
    analyst_kills: Annotated[int, typer.Option(min=0, help="SIGKILLs of the analyst.")] = 10,
    seed: Annotated[int, typer.Option(min=0, help="Decides labels, transactions and faults.")] = 1,
    planted: Annotated[str, typer.Option(help="A bug that must be found: drop, double or altered.")] = "",
    keep: Annotated[str, typer.Option(help="Folder for logs and the broker's data if a promise was broken.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Let labels come late, early, twice and wrong while observers die: every figure must equal the recomputation.

    On an embedded stack of its own. Scorers' transactions are made up (three in ten are aborted); label router,
    observers and analyst are the real ones. With `--planted drop` observers miss some labels, with `double` they see
    some twice, with `altered` a scorecard is forged: it must be found, and the exit code is 1.

    Example: `tailrace verify monitor flights --records 20000 --observer-kills 6 --seed 7`
    """
    import tempfile  # noqa: PLC0415 - keeps --help fast
    from pathlib import Path  # noqa: PLC0415 - the same

    from shared.adapters.pipeline_yaml import load_pipeline  # noqa: PLC0415 - the same
    from shared.core.errors import UserError  # noqa: PLC0415 - the same
    from tailrace.cli.common import emit  # noqa: PLC0415 - the same
    from tailrace.proof.monitor import prove_monitor  # noqa: PLC0415 - the same
    from tailrace.proof.monitor_plan import PLANTED, Request  # noqa: PLC0415 - the same
    from tailrace.proof.monitor_verdict import words  # noqa: PLC0415 - the same
    from tailrace.stack.signals import stoppable  # noqa: PLC0415 - the same
    from tailrace.stack.stack import to_stderr  # noqa: PLC0415 - the same

    loaded = load_pipeline(pipeline)
    if planted not in {"", *PLANTED}:
        raise UserError(f"--planted {planted} is no known bug", remedy=", ".join(PLANTED))
    request = Request(records, observer_kills, analyst_kills, seed, planted)
    home = tempfile.TemporaryDirectory(prefix="tailrace-proof-", ignore_cleanup_errors=True)
    with stoppable(), home as folder:
        verdict = prove_monitor(loaded, request, Path(folder), to_stderr, Path(keep) if keep else None)
    emit(verdict, as_json, lambda: words(verdict))
    raise typer.Exit(0 if verdict.ok else 1)
