"""`tailrace why PIPELINE 2@1041`: one answer, explained from what was kept of it."""

import sys
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(why)


def why(
    pipeline: Annotated[str, typer.Argument(metavar="PIPELINE", help="Folder, pipeline.yaml or name.")],
    which: Annotated[
        str, typer.Argument(metavar="LOCATOR|ID", help="PARTITION@OFFSET in records, or an id.", show_default=False)
    ] = "",
    *,
    key: Annotated[str, typer.Option(help="The newest answer of this entity.", show_default=False)] = "",
    contributions: Annotated[
        bool, typer.Option("--contributions", help="What each feature added, for trees too (takes seconds).")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Explain one answer: inputs, looked-up features and their ages, version, training, label, contributions.

    It is scored again from the journal alone, and says whether the same number comes out. A locator or a key is found
    at once; a bare id is looked for from the newest entry backwards. Exit 1: there is no such answer.

    Example: `tailrace why flights 2@1041 --contributions`
    """
    from shared.adapters.pipeline_yaml import load_pipeline  # noqa: PLC0415 - keeps --help fast
    from tailrace.cli.common import cli_settings, emit, need  # noqa: PLC0415 - the same

    spec, settings = load_pipeline(pipeline).spec, cli_settings()
    need(settings, "kafka")
    from tailrace.why.main import explain  # noqa: PLC0415 - numpy, after what fails at once
    from tailrace.why.text import why_text  # noqa: PLC0415 - the same

    found = explain(spec, settings, which, key, lambda line: print(line, file=sys.stderr), contributions=contributions)
    if found is None:
        sampled = f"; {spec.monitoring.sample:.0%} of records are observed" if spec.monitoring.sample < 1.0 else ""
        said = f"the journal has no answer for {which or f'key {key}'}{sampled} (`tailrace dlq list {pipeline}`?)"
        emit({"found": False, "reason": said}, as_json, lambda: "")
        print(f"tailrace: {said}", file=sys.stderr)
        raise typer.Exit(1)
    emit(found, as_json, lambda: why_text(found))
