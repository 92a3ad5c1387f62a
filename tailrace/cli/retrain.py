"""`tailrace retrain PIPELINE` and `tailrace trainings PIPELINE`: ask for a training, and what became of all of them."""

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from shared.core.pipeline import PipelineSpec
    from shared.runtime.settings import Settings

_Pipeline = Annotated[str, typer.Argument(help="Folder, pipeline.yaml or name.")]
_Kafka = Annotated[str, typer.Option(help="Bootstrap servers.", show_default="as set, or the embedded stack's")]
_Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def register(app: typer.Typer) -> None:
    """Add both commands."""
    app.command()(retrain)
    app.command()(trainings)


def retrain(
    pipeline: _Pipeline,
    *,
    reason: Annotated[str, typer.Option(help="Why, in words; stands in the request.")] = "asked by hand",
    wait: Annotated[float, typer.Option("--wait", help="Wait so many seconds for the answer, and show it.")] = 0.0,
    kafka: _Kafka = "",
    as_json: _Json = False,
) -> None:
    """Ask that a new model be trained and judged, whatever the figures say.

    The wish goes the way of every other one: the analyst makes it a request (inside a cool-down at its end), the
    retrainer trains and asks the gate, the rollout follows. With --wait: exit 1 where no model came of it.

    Example: tailrace retrain flights --reason "new airline from Monday on" --wait 600
    """
    from tailrace.cli.common import emit  # noqa: PLC0415 - keeps --help fast
    from tailrace.monitor.ask import send_ask  # noqa: PLC0415 - the same
    from tailrace.retraining.followed import answer_of, follow  # noqa: PLC0415 - the same

    spec, settings = _opened(pipeline, kafka)
    asked = send_ask(spec, settings, reason)
    if wait <= 0:
        told = f"asked as {asked.id}; `tailrace trainings {spec.name}` shows what becomes of it"
        emit(asked, as_json, lambda: told)
        return
    found = follow(spec, settings, asked, wait, lambda line: print(line, file=sys.stderr))
    emit(found, as_json, lambda: answer_of(found))
    raise typer.Exit(0 if found.training is not None and found.training.state == "done" else 1)


def trainings(
    pipeline: _Pipeline,
    *,
    last: Annotated[int, typer.Option(help="So many of the newest.", min=1)] = 20,
    kafka: _Kafka = "",
    as_json: _Json = False,
) -> None:
    """List trainings and requests: what was asked, what the gate said, which version came of it.

    Example: tailrace trainings flights --json
    """
    from tailrace.cli.common import emit  # noqa: PLC0415 - keeps --help fast
    from tailrace.retraining.listed import listed, table_of  # noqa: PLC0415 - the same

    spec, settings = _opened(pipeline, kafka)
    found = listed(spec, settings, last)
    emit(found, as_json, lambda: table_of(found))


def _opened(pipeline: str, kafka: str) -> "tuple[PipelineSpec, Settings]":
    from shared.adapters.pipeline_yaml import load_pipeline  # noqa: PLC0415 - keeps --help fast
    from tailrace.cli.common import cli_settings, need  # noqa: PLC0415 - the same

    spec = load_pipeline(pipeline).spec
    settings = cli_settings({**os.environ, **({"TAILRACE_KAFKA__BOOTSTRAP_SERVERS": kafka} if kafka else {})})
    need(settings, "kafka")
    return spec, settings
