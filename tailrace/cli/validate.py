"""`tailrace validate` and `tailrace schema`: is a pipeline's file right, and what may stand in it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shared.core.errors import UserError
from tailrace.cli.common import emit

if TYPE_CHECKING:
    from shared.core.pipeline import PipelineSpec


def register(app: typer.Typer) -> None:
    """Add `tailrace validate` and `tailrace schema`."""
    app.command()(validate)
    app.command()(schema)


def validate(
    paths: Annotated[list[str], typer.Argument(metavar="PATH...", help="Folders, pipeline.yaml files, or names.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array, an object a path.")] = False,  # noqa: FBT002 - typer's way to write a flag
) -> None:
    """Check pipelines and name every mistake at once; exit 2 where there is one.

    Example: tailrace validate pipelines/flights
    """
    results = [_judge(path) for path in paths]
    if as_json:
        emit([{name: value for name, value in result.items() if name != "text"} for result in results], True, str)
    else:
        for result in results:
            typer.echo(result["text"], err=not result["ok"])
    raise typer.Exit(0 if all(result["ok"] for result in results) else 2)


def schema(
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write here instead of standard output.")
    ] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the reference for people.")] = False,  # noqa: FBT002 - typer's way to write a flag
) -> None:
    """Print the JSON Schema of pipeline.yaml, for editors.

    Example: tailrace schema -o pipeline.schema.json
    """
    text = reference() if markdown else schema_text()
    if output is None:
        typer.echo(text, nl=False)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"{output}: cannot be written ({error.strerror})", remedy="name another file") from None


def schema_text() -> str:
    """The content of `docs/pipeline.schema.json`."""
    import msgspec  # noqa: PLC0415 - keeps --help fast

    from shared.core.pipeline_schema import json_schema  # noqa: PLC0415 - the same

    return msgspec.json.format(msgspec.json.encode(json_schema()), indent=2).decode() + "\n"


def reference() -> str:
    """The content of `docs/pipeline-file.md`."""
    from shared.core.pipeline_schema import markdown  # noqa: PLC0415 - keeps --help fast

    return markdown()


def _judge(path: str) -> dict[str, Any]:
    from shared.adapters.pipeline_yaml import find, load_pipeline  # noqa: PLC0415 - keeps --help fast
    from shared.core.mistakes import Mistakes  # noqa: PLC0415 - the same
    from shared.core.pipeline_loop_checks import cautions  # noqa: PLC0415 - the same

    try:
        file = find(path)
        spec = load_pipeline(file).spec
    except Mistakes as error:
        found = [{"path": m.path, "what": m.what, "remedy": m.remedy} for m in error.mistakes]
        return {"path": error.where, "ok": False, "mistakes": found, "text": str(error)}
    except UserError as error:
        found = [{"path": "", "what": error.what, "remedy": error.remedy}]
        return {"path": path, "ok": False, "mistakes": found, "text": str(error)}
    summary, unwise = _summary(spec), cautions(spec)
    lines = [f"{name:<9} {value}" for name, value in (*summary.items(), *(("warning", one) for one in unwise))]
    text = "\n  ".join([f"{file}: ok", *lines])
    return {"path": str(file), "ok": True, "mistakes": [], "summary": summary, "warnings": unwise, "text": text}


def _summary(spec: "PipelineSpec") -> dict[str, str]:
    from shared.core import durations  # noqa: PLC0415 - keeps --help fast
    from shared.core.topics import wanted  # noqa: PLC0415 - the same

    kinds = [feature.kind for feature in spec.features]
    looked_up = sum(bool(feature.lookup) for feature in spec.features)
    classes = f" ({', '.join(spec.labels.classes)})" if spec.labels.classes else ""
    groups = [
        f"{name} by {group.key}, at most {durations.write(group.max_age)} old" for name, group in spec.lookups.items()
    ]
    return {
        "task": f"{spec.task}{classes}, labels within {durations.write(spec.labels.horizon)}",
        "features": f"{len(kinds)}: {kinds.count('numeric')} numeric, {kinds.count('category')} category, "
        f"{looked_up} looked up",
        "lookups": "; ".join(groups) or "none",
        "model": spec.model.estimator,
        "topics": f"{len(wanted(spec))}, {spec.partitions} partitions, replication {spec.replication}, "
        f"{spec.delivery.guarantee.replace('_', ' ')}",
    }
