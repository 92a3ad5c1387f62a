"""`tailrace contract`: what those who write to a pipeline and read from it must know."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tailrace.cli.common import cli_settings, emit

if TYPE_CHECKING:
    from shared.core.pipeline import PipelineSpec


class Format(StrEnum):
    """How the contract is printed."""

    text = "text"
    json = "json"
    asyncapi = "asyncapi"


def register(app: typer.Typer) -> None:
    """Add `tailrace contract`."""
    app.command()(contract)


def contract(
    pipeline: Annotated[str, typer.Argument(metavar="PIPELINE", help="A folder, a pipeline.yaml, or a name.")],
    form: Annotated[Format, typer.Option("--format", help="For people, for programs, or as AsyncAPI 3.")] = Format.text,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,  # noqa: FBT002 - typer's way to write a flag
) -> None:
    """Print schemas, keys, headers, rules and examples for producers and consumers of a pipeline.

    Example: tailrace contract flights --format asyncapi > flights.asyncapi.json
    """
    from shared.adapters.pipeline_yaml import load_pipeline  # noqa: PLC0415 - keeps --help fast
    from shared.core import contract as made  # noqa: PLC0415 - the same

    spec = load_pipeline(pipeline).spec
    if form is Format.asyncapi:
        emit(made.asyncapi(spec, cli_settings().kafka.bootstrap_servers), True, str)
    else:
        whole = made.contract(spec)
        emit(whole, as_json or form is Format.json, lambda: _text(spec, whole))


def _text(spec: "PipelineSpec", whole: dict[str, Any]) -> str:
    lines = [f"{spec.name}: {spec.title or spec.task}", "", "topics"]
    lines += [
        f"  you {topic['you']:<5}  {topic['name']}  key {topic['key']}, {topic['partitions']} partitions, "
        f"kept {topic['retention']}, messages to {topic['max_message_bytes']:,} bytes"
        for topic in whole["topics"].values()
    ]
    lines += ["", "rules", *(f"  - {rule}" for rule in whole["rules"])]
    lines += ["", "headers", *(f"  {name:<16} {meaning}" for name, meaning in whole["headers"].items())]
    lines += ["", "record", *_fields(whole["schemas"]["records"])]
    lines += ["", "prediction", *_fields(whole["schemas"]["predictions"])]
    lines += ["", "in Python", *_indented(whole["examples"]["python"])]
    lines += ["", "with kcat", *_indented(whole["examples"]["kcat"])]
    lines += ["", "JSON Schemas: --format json · AsyncAPI 3: --format asyncapi"]
    return "\n".join(lines)


def _fields(schema: dict[str, Any]) -> list[str]:
    required = set(schema["required"])
    return [
        f"  {name:<16} {_words(field)}{'' if name in required else ', optional'}"
        + (f"  {field['description']}" if "description" in field else "")
        for name, field in schema["properties"].items()
    ]


def _words(field: dict[str, Any]) -> str:
    if "anyOf" in field:
        return " or ".join(dict.fromkeys(_words(member) for member in field["anyOf"]))
    if "enum" in field:
        return " | ".join(map(str, field["enum"]))
    if "const" in field:
        return str(field["const"])
    bounds = [f"{word} {field[key]:,}" for key, word in (("minimum", ">="), ("maximum", "<=")) if key in field]
    length = [f"to {field['maxLength']} characters"] if "maxLength" in field else []
    return " ".join([str(field.get("type", "any")), *bounds, *length])


def _indented(text: str) -> list[str]:
    return [f"  {line}".rstrip() for line in text.rstrip("\n").splitlines()]
