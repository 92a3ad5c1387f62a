"""`tailrace verify rollout`: the promises about versions, checked on this machine by whoever wants to know."""

from typing import Annotated

import typer

from tailrace.cli.verify import verify


def register(app: typer.Typer) -> None:
    """The commands belong to `tailrace verify`, which is there already."""
    del app


@verify.command()
def rollout(
    pipeline: Annotated[str, typer.Argument(help="Folder, pipeline.yaml or name.")] = "flights",
    *,
    rollouts: Annotated[int, typer.Option(min=1, help="Swaps and canary steps.")] = 50,
    rate: Annotated[int, typer.Option(min=10, help="Records a second, all the while.")] = 1_000,
    calm: Annotated[int, typer.Option(min=0, help="So many rollouts come first, without faults: they are timed.")] = 10,
    kills: Annotated[int, typer.Option(min=0, help="SIGKILLs of workers; half of them at a named step.")] = 12,
    freezes: Annotated[int, typer.Option(min=0, help="Workers frozen beyond their session, then woken.")] = 2,
    moves: Annotated[int, typer.Option(min=0, help="Workers that come, and go again.")] = 4,
    workers: Annotated[int, typer.Option(min=1, max=16, help="Scorer workers.")] = 2,
    seed: Annotated[int, typer.Option(min=0, help="Decides rollouts and faults.")] = 1,
    keep: Annotated[str, typer.Option(help="Folder for logs and the broker's data if a promise was broken.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Change versions again and again while records flow, workers and controllers die, and forged barriers come.

    On an embedded stack of its own. First five kinds of bad versions are tried, and all must be refused. At the end
    every record must have been scored once, by the version that its key has under the epoch in force at its offset;
    each epoch must begin at one offset in each partition; and the whole topic, read again from its beginning, must be
    scored by the same versions. Exit code 1 unless all holds.

    Example: `tailrace verify rollout flights --rollouts 10 --calm 3 --kills 3 --seed 7`
    """
    import tempfile  # noqa: PLC0415 - keeps --help fast
    from pathlib import Path  # noqa: PLC0415 - the same

    from shared.adapters.pipeline_yaml import load_pipeline  # noqa: PLC0415 - the same
    from tailrace.cli.common import emit  # noqa: PLC0415 - the same
    from tailrace.proof.rollout import prove_rollout  # noqa: PLC0415 - the same
    from tailrace.proof.rollout_plan import Request  # noqa: PLC0415 - the same
    from tailrace.proof.rollout_verdict import words  # noqa: PLC0415 - the same
    from tailrace.stack.signals import stoppable  # noqa: PLC0415 - the same
    from tailrace.stack.stack import to_stderr  # noqa: PLC0415 - the same

    loaded = load_pipeline(pipeline)
    request = Request(
        rollouts=rollouts, rate=rate, calm=min(calm, rollouts), kills=kills, freezes=freezes, moves=moves,
        workers=workers, seed=seed,
    )  # fmt: skip
    home = tempfile.TemporaryDirectory(prefix="tailrace-proof-", ignore_cleanup_errors=True)
    with stoppable(), home as folder:
        verdict = prove_rollout(loaded, request, Path(folder), to_stderr, Path(keep) if keep else None)
    emit(verdict, as_json, lambda: words(verdict))
    raise typer.Exit(0 if verdict.ok else 1)


@verify.command()
def rollback(
    pipeline: Annotated[str, typer.Argument(help="Folder, pipeline.yaml or name.")] = "flights",
    *,
    records: Annotated[
        int, typer.Option(min=1_000, help="Records that wait when the version is withdrawn.")
    ] = 1_000_000,
    seed: Annotated[int, typer.Option(min=0, help="Of the records.")] = 1,
    keep: Annotated[str, typer.Option(help="Folder for logs and the broker's data if a promise was broken.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Withdraw a version while a million records wait and one of three workers is frozen: it ends within 5 seconds.

    On an embedded stack of its own. Timed from the command's start to the last prediction by that version, by the
    broker's clock; then the frozen worker is woken, and nothing of what it held may come. Exit code 1 unless all holds.

    Example: `tailrace verify rollback flights --records 100000`
    """
    import tempfile  # noqa: PLC0415 - keeps --help fast
    from pathlib import Path  # noqa: PLC0415 - the same

    from shared.adapters.pipeline_yaml import load_pipeline  # noqa: PLC0415 - the same
    from tailrace.cli.common import emit  # noqa: PLC0415 - the same
    from tailrace.proof.rollback import prove_rollback, words  # noqa: PLC0415 - the same
    from tailrace.stack.signals import stoppable  # noqa: PLC0415 - the same
    from tailrace.stack.stack import to_stderr  # noqa: PLC0415 - the same

    loaded = load_pipeline(pipeline)
    home = tempfile.TemporaryDirectory(prefix="tailrace-proof-", ignore_cleanup_errors=True)
    with stoppable(), home as folder:
        case = prove_rollback(loaded, records, seed, Path(folder), to_stderr, Path(keep) if keep else None)
    emit(case, as_json, lambda: words(case))
    raise typer.Exit(0 if case.ok else 1)


@verify.command()
def challengers(
    pipeline: Annotated[str, typer.Argument(help="Folder, pipeline.yaml or name; two classes.")] = "flights",
    *,
    plan: Annotated[
        str, typer.Option(help="shadow: a shadow, then 30 % of the keys; canary: 30 %, then 60 %, nothing beforehand.")
    ] = "shadow",
    only: Annotated[str, typer.Option(help="Some of the ten, with commas: constant,memory-leak.")] = "",
    rate: Annotated[int, typer.Option(min=10, help="Records a second while one is on trial.")] = 400,
    workers: Annotated[int, typer.Option(min=1, max=16, help="Scorer workers.")] = 2,
    patience: Annotated[float, typer.Option(min=10, help="Seconds that one trial may take.")] = 90.0,
    seed: Annotated[int, typer.Option(min=0, help="Of what is spoiled.")] = 1,
    keep: Annotated[str, typer.Option(help="Folder for logs and the broker's data if a promise was broken.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Roll out ten bad versions that a gate let through, and tell which ones the controller took back, when, and why.

    On an embedded stack of its own, with the history after the champion's training and its labels replayed. A good
    refit goes first, and must become the champion. Exit code 1 if it does not, if the champion is not in force
    everywhere at the end, or if a record was lost or doubled; a bad one that was not caught is named.

    Example: `tailrace verify challengers flights --only constant,nan-after-a-while`
    """
    import tempfile  # noqa: PLC0415 - keeps --help fast
    from pathlib import Path  # noqa: PLC0415 - the same

    from shared.adapters.pipeline_yaml import load_pipeline  # noqa: PLC0415 - the same
    from tailrace.cli.common import emit  # noqa: PLC0415 - the same
    from tailrace.proof.challengers import prove_challengers  # noqa: PLC0415 - the same
    from tailrace.proof.challengers_plan import request_of  # noqa: PLC0415 - the same
    from tailrace.proof.challengers_verdict import words  # noqa: PLC0415 - the same
    from tailrace.stack.signals import stoppable  # noqa: PLC0415 - the same
    from tailrace.stack.stack import to_stderr  # noqa: PLC0415 - the same

    loaded = load_pipeline(pipeline)
    request = request_of(plan, only, rate=rate, workers=workers, patience=patience, seed=seed)
    home = tempfile.TemporaryDirectory(prefix="tailrace-proof-", ignore_cleanup_errors=True)
    with stoppable(), home as folder:
        verdict = prove_challengers(loaded, request, Path(folder), to_stderr, Path(keep) if keep else None)
    emit(verdict, as_json, lambda: words(verdict))
    raise typer.Exit(0 if verdict.ok else 1)
