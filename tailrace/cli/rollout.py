"""`tailrace rollout activate|revoke|status PIPELINE`: which version scores which record."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from shared.core.pipeline import PipelineSpec
    from shared.runtime.settings import Settings

Where = Annotated[str, typer.Argument(help="Folder, pipeline.yaml or name.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object.")]
Wait = Annotated[float, typer.Option(help="Seconds to wait for workers.", min=0)]
rollout = typer.Typer(name="rollout", no_args_is_help=True, help="Bring model versions into force, or take them back.")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(rollout)


def _open(pipeline: str) -> "tuple[PipelineSpec, Settings]":
    from shared.adapters.pipeline_yaml import load_pipeline  # noqa: PLC0415 - keeps --help fast
    from tailrace.cli.common import cli_settings, need  # noqa: PLC0415 - the same

    spec, settings = load_pipeline(pipeline).spec, cli_settings()
    need(settings, "kafka")
    return spec, settings


def _began(offsets: dict[str, int]) -> str:
    """Offsets by partition as `0@17 1@20`; a dash where it has not begun."""
    return " ".join(f"{part}@{offsets[part]}" for part in sorted(offsets, key=int)) or "-"


def _say(line: str) -> None:
    print(line, file=sys.stderr)


@rollout.command()
def activate(
    pipeline: Where,
    version: Annotated[str, typer.Argument(help="As announced by `tailrace train`.")],
    *,
    reason: Annotated[str, typer.Option(help="Stands in the models topic.")] = "by hand",
    workers: Annotated[int, typer.Option(min=0, help="Live workers that must have loaded it.")] = 1,
    wait: Wait = 30.0,
    force: Annotated[bool, typer.Option("--force", help="Do not wait for workers or earlier rollouts.")] = False,
    as_json: Json = False,
) -> None:
    """Bring a version into force between two records, at one agreed offset in each partition.

    Every live worker must have loaded it first; if one refuses, nothing changes (exit 1). Running it again completes
    what an interrupted run left undone.

    Example: `tailrace rollout activate flights 2`
    """
    from services.retrainer.rollout.wiring import rollout_control  # noqa: PLC0415 - keeps --help fast
    from tailrace.cli.common import emit  # noqa: PLC0415 - the same

    with rollout_control(*_open(pipeline), _say) as control:
        active = control.activate(version, reason=reason, workers=workers, timeout=wait, force=force)
        late = control.settled(active.epoch, wait)
    result = {"epoch": active.epoch, "version": version, "digest": active.champion.digest, "unsettled": late}
    where = f"not yet committed in partitions {late}" if late else "in force in every partition"
    emit(result, as_json, lambda: f"version {version} is epoch {active.epoch}, {where}")


@rollout.command()
def revoke(
    pipeline: Where,
    version: Annotated[str, typer.Argument(help="The version to withdraw.")],
    *,
    reason: Annotated[str, typer.Option(help="Stands in the models topic.")] = "by hand",
    wait: Wait = 10.0,
    as_json: Json = False,
) -> None:
    """Withdraw a version: the one before it acts from each worker's next batch on, whatever the backlog.

    Example: `tailrace rollout revoke flights 2 --reason "worse on EWR"`
    """
    from services.retrainer.rollout.wiring import rollout_control  # noqa: PLC0415 - keeps --help fast
    from tailrace.cli.common import emit  # noqa: PLC0415 - the same

    with rollout_control(*_open(pipeline), _say) as control:
        fenced = control.revoke(version, reason=reason, timeout=wait)
    emit({"version": version, "fenced": fenced}, as_json, lambda: f"version {version} is withdrawn")


@rollout.command()
def status(pipeline: Where, *, as_json: Json = False) -> None:
    """Show every epoch: its version, its state, and where it began to act (partition@offset).

    Example: `tailrace rollout status flights`
    """
    from services.retrainer.rollout.wiring import rollout_picture  # noqa: PLC0415 - keeps --help fast
    from tailrace.cli.common import emit  # noqa: PLC0415 - the same

    epochs = rollout_picture(*_open(pipeline))
    lines = [
        f"epoch {e['epoch']}  version {e['version']}  {e['state']:<9}  began at {_began(e['began'])}  {e['reason']}"
        for e in epochs
    ]
    emit(epochs, as_json, lambda: "\n".join(lines) or "no version was announced yet; run `tailrace train`")
