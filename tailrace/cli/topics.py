"""`tailrace topics`: what separates the broker's topics from those a pipeline wants, and making it so."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tailrace.cli.common import cli_settings, emit, need

if TYPE_CHECKING:
    from shared.adapters.kafka.admin import KafkaAdmin
    from shared.core.pipeline import PipelineSpec
    from shared.core.topic_plan import Action, Plan

_SIGNS = {"create": "+", "alter": "~", "refuse": "!", "warn": "?"}
PipelineArgument = Annotated[str, typer.Argument(metavar="PIPELINE", help="A folder, a pipeline.yaml, or a name.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]

topics = typer.Typer(no_args_is_help=True, help="Show and make the topics of a pipeline.")


def register(app: typer.Typer) -> None:
    """Add `tailrace topics`."""
    app.add_typer(topics, name="topics")


@topics.command()
def plan(pipeline: PipelineArgument, as_json: Json = False) -> None:  # noqa: FBT002 - typer's way to write a flag
    """Show what `apply` would do; exit 0: nothing, 1: something, 2: it is refused.

    Example: tailrace topics plan flights
    """
    from tailrace.stack.topics import topic_faults, topic_plan  # noqa: PLC0415 - keeps --help fast

    spec, admin = _open(pipeline)
    found = topic_plan(spec, admin)
    faults = topic_faults(spec, admin)
    emit(_result(found, faults), as_json, lambda: _text(found, faults, f"{spec.name}: every topic is as it should be"))
    raise typer.Exit(2 if found.refused else 1 if found.work or faults else 0)


@topics.command("apply")
def apply_(pipeline: PipelineArgument, as_json: Json = False) -> None:  # noqa: FBT002 - typer's way to write a flag
    """Create and alter topics until the broker has what the pipeline wants; doing it again does nothing.

    Example: tailrace topics apply flights
    """
    from tailrace.stack.topics import make_topics, topic_faults, topic_plan  # noqa: PLC0415 - keeps --help fast

    spec, admin = _open(pipeline)
    found = topic_plan(spec, admin)
    if not found.refused:
        make_topics(admin, spec, found)
    faults = () if found.refused else topic_faults(spec, admin)
    emit(_result(found, faults), as_json, lambda: _text(found, faults, f"{spec.name}: nothing to do"))
    raise typer.Exit(2 if found.refused else 1 if faults else 0)


def _open(pipeline: str) -> "tuple[PipelineSpec, KafkaAdmin]":
    from shared.adapters.kafka.admin import KafkaAdmin  # noqa: PLC0415 - keeps --help fast
    from shared.adapters.kafka.config import client_config  # noqa: PLC0415 - the same
    from shared.adapters.pipeline_yaml import load_pipeline  # noqa: PLC0415 - the same
    from shared.runtime.settings import read_secret  # noqa: PLC0415 - the same

    spec = load_pipeline(pipeline).spec
    settings = cli_settings()
    need(settings, "kafka")
    return spec, KafkaAdmin(client_config(settings.kafka, read_secret))


def _result(found: "Plan", faults: Iterable[str]) -> dict[str, Any]:
    return {"ok": not found.refused and not faults, "actions": found.actions, "faults": list(faults)}


def _text(found: "Plan", faults: Iterable[str], nothing: str) -> str:
    lines = [_line(action) for action in found.actions] + [f"! {fault}" for fault in faults]
    return "\n".join(lines) or nothing


def _line(action: "Action") -> str:
    return f"{_SIGNS[action.kind]} {action.topic}  {action.what}"
