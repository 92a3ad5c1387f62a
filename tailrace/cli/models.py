"""`tailrace models list|show|promote|rollback PIPELINE`: registered versions, and which of them is in force."""

import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from services.retrainer.rollout.hand import Row
    from shared.adapters.mlflow_models import Registry
    from shared.core.pipeline import PipelineSpec
    from shared.runtime.settings import Settings

Where = Annotated[str, typer.Argument(help="Folder, pipeline.yaml or name.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON value.")]
Reason = Annotated[str, typer.Option(help="Stands in the models topic.")]
models = typer.Typer(name="models", no_args_is_help=True, help="Registered versions: look, promote, roll back.")
POLL_S = 0.5


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(models)


@models.command("list")
def list_(pipeline: Where, *, as_json: Json = False) -> None:
    """List the versions of a pipeline, the newest first: aliases, epochs in force, the gate's answer, refusals.

    Example: `tailrace models list flights`
    """
    from tailrace.cli.common import emit  # noqa: PLC0415 - keeps --help fast

    found = _rows(*_open(pipeline, "kafka", "mlflow"))
    emit(found, as_json, lambda: "\n".join(map(_line, found)) or "no version is registered; run `tailrace train`")


@models.command()
def show(
    pipeline: Where, version: Annotated[str, typer.Argument(help="As `tailrace models list` has it.")], *,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Show one version: its digest, run and tags, and every epoch that names it.

    Example: `tailrace models show flights 2`
    """
    from services.retrainer.rollout.decide import names  # noqa: PLC0415 - keeps --help fast
    from services.retrainer.rollout.wiring import rollout_control  # noqa: PLC0415 - the same
    from shared.core.errors import UserError  # noqa: PLC0415 - the same
    from tailrace.cli.common import emit  # noqa: PLC0415 - the same

    spec, settings = _open(pipeline, "kafka", "mlflow")
    info = next((one for one in _registry(settings).versions(spec.name) if one.version == version), None)
    if info is None:
        raise UserError(f"{spec.name} has no version {version}", remedy=f"`tailrace models list {spec.name}` has all")
    with rollout_control(spec, settings) as control:
        epochs = [r for r in control.books.table() if names(r, version)]
    told: dict[str, Any] = {"version": info, "epochs": epochs}
    lines = [f"version {info.version}  {info.state}  run {info.run_id}", f"digest {info.digest}", f"uri {info.uri}"]
    lines += [f"{key}: {value}" for key, value in sorted(info.tags.items())]
    lines += [f"epoch {r.epoch}: {r.mode}, {r.state}, {r.reason}" for r in epochs]
    emit(told, as_json, lambda: "\n".join(lines))


@models.command()
def promote(
    pipeline: Where, version: Annotated[str, typer.Argument(help="As `tailrace models list` has it.")], *,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait until it is in force.")] = 60.0,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Make a version the champion without a trial, as moving the alias `champion` in MLflow does.

    The rollout controller sees that every worker loads it first; if one refuses, nothing changes (exit 1).

    Example: `tailrace models promote flights 2`
    """
    from services.retrainer.rollout.hand import granted, promotable  # noqa: PLC0415 - keeps --help fast
    from services.retrainer.rollout.wiring import rollout_control  # noqa: PLC0415 - the same
    from shared.core.registry import CHAMPION  # noqa: PLC0415 - the same
    from tailrace.cli.common import emit  # noqa: PLC0415 - the same

    spec, settings = _open(pipeline, "kafka", "mlflow")
    registry = _registry(settings)
    promotable(registry.versions(spec.name), version, spec.name)
    registry.set_alias(spec.name, CHAMPION, version)
    with rollout_control(spec, settings) as control:
        answer = _until(
            lambda: granted(control.books.table(), control.books.state(), registry.aliases(spec.name), version), wait
        )
    why = f"no controller has acted in {wait:g} s: does the service `rollout` run?" if answer is None else answer
    words = f"version {version} is in force" if answer == "" else f"version {version} is not in force: {why}"
    emit({"version": version, "in_force": answer == "", "reason": why}, as_json, lambda: words)
    if answer != "":
        raise typer.Exit(1)


@models.command()
def rollback(pipeline: Where, *, reason: Reason = "by hand", as_json: Json = False) -> None:
    """Take the newest version back (in a canary: the challenger); the one before acts from the next batch on.

    It needs neither MLflow nor the controller, and waits for no backlog. Workers that do not answer in 3 s are fenced:
    what they hold is never committed.

    Example: `tailrace models rollback flights --reason "worse on EWR"`
    """
    from services.retrainer.rollout.hand import rollback as take_back  # noqa: PLC0415 - keeps --help fast
    from services.retrainer.rollout.wiring import rollout_control  # noqa: PLC0415 - the same
    from shared.core.errors import TailraceError  # noqa: PLC0415 - the same
    from shared.core.registry import CHAMPION  # noqa: PLC0415 - the same
    from tailrace.cli.common import emit  # noqa: PLC0415 - the same

    spec, settings = _open(pipeline, "kafka")
    with rollout_control(spec, settings, lambda line: print(line, file=sys.stderr)) as control:
        back = take_back(control, reason)
    told = {"version": back.version, "acting": back.acting, "fenced": list(back.fenced)}
    emit(told, as_json, lambda: f"version {back.version} is taken back; version {back.acting} acts")
    with suppress(TailraceError):  # without MLflow the controller corrects the alias as soon as it can
        _registry(settings, patience_s=3).set_alias(spec.name, CHAMPION, back.acting)


def _open(pipeline: str, *parts: Any) -> "tuple[PipelineSpec, Settings]":
    from shared.adapters.pipeline_yaml import load_pipeline  # noqa: PLC0415 - keeps --help fast
    from tailrace.cli.common import cli_settings, need  # noqa: PLC0415 - the same

    spec, settings = load_pipeline(pipeline).spec, cli_settings()
    need(settings, *parts)
    return spec, settings


def _registry(settings: "Settings", patience_s: int = 15) -> "Registry":
    from shared.adapters.mlflow_models import Registry  # noqa: PLC0415 - takes seconds
    from shared.runtime.settings import read_secret  # noqa: PLC0415 - the same

    login = settings.mlflow
    password = read_secret(login.password_file, setting="mlflow.password_file") if login.password_file else ""
    return Registry(login.url, login.username, password, patience_s=patience_s)


def _rows(spec: "PipelineSpec", settings: "Settings") -> "list[Row]":
    from services.retrainer.rollout.hand import rows  # noqa: PLC0415 - keeps --help fast
    from services.retrainer.rollout.wiring import rollout_control  # noqa: PLC0415 - the same

    registry = _registry(settings)
    versions, aliases = registry.versions(spec.name), registry.aliases(spec.name)
    with rollout_control(spec, settings) as control:
        return rows(versions, aliases, control.books.table(), control.books.state())


def _line(row: "Row") -> str:
    epochs = ", ".join(f"{mode} (epoch {epoch})" for epoch, mode in row.in_force.items())
    parts = [
        f"{'*' if row.acting else ' '} version {row.version}", row.state or "unknown", row.digest[:12],
        f"[{', '.join(row.aliases)}]" if row.aliases else "", epochs, f"gate {row.gate}" if row.gate else "",
        row.refused,
    ]  # fmt: skip
    return "  ".join(part for part in parts if part)


def _until(ask: Callable[[], str | None], wait: float) -> str | None:
    deadline = time.monotonic() + wait
    while (answer := ask()) is None and time.monotonic() < deadline:
        time.sleep(POLL_S)
    return answer
