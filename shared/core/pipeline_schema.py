"""The pipeline's file described: a JSON Schema for editors, a reference in Markdown for people. Both are generated."""

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import inspect as mi

from shared.core import durations
from shared.core.pipeline import PipelineSpec
from shared.core.pipeline_base import Duration, Spec
from shared.core.pipeline_meanings import MEANINGS
from shared.core.topics import TOPIC_NAMES

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> dict[str, Any]:
    """The JSON Schema of `pipeline.yaml`: form only; what the parts mean together is checked by `tailrace validate`."""
    defs = {kind.cls.__name__: _object(kind) for kind in sections()}
    root = defs.pop(PipelineSpec.__name__)
    return {"$schema": DIALECT, **root, "title": "Tailrace pipeline", "$defs": defs}


def markdown() -> str:
    """The reference: a section for each part of the file, a row for each key."""
    lines = [
        "# The pipeline file",
        "",
        "<!-- generated: tailrace schema --markdown -o docs/pipeline-file.md -->",
        "A pipeline is a folder with a `pipeline.yaml`. `tailrace validate FOLDER` names every mistake in it at once.",
        "",
        "Editors complete and check the file by its JSON Schema, with this as its first line (a path from the file):",
        "",
        "```yaml",
        "# yaml-language-server: $schema=../../docs/pipeline.schema.json",
        "```",
        "",
        "A *duration* is a number with one unit: `90s`, `15m`, `2h`, `1d`, `3ms`. YAML aliases and tags are refused.",
        'Texts that YAML reads as something else (`yes`, `no`, `on`, `1.0`) need quotes: `classes: ["no", "yes"]`.',
    ]
    for kind in sections():
        lines += ["", f"## {_heading(kind.cls)}", "", _prose(kind.cls), "", *_table(kind)]
    return "\n".join(lines) + "\n"


def sections() -> list[mi.StructType]:
    """Every part of the file, each once, the whole first and then in the order of its keys."""
    found: dict[type, mi.StructType] = {}
    _collect(mi.type_info(PipelineSpec), found)
    return list(found.values())


def _collect(kind: mi.Type, found: dict[type, mi.StructType]) -> None:
    if isinstance(kind, mi.StructType) and kind.cls not in found:
        found[kind.cls] = kind
        for field in kind.fields:
            _collect(field.type, found)
    for inner in _inner(kind):
        _collect(inner, found)


def _inner(kind: mi.Type) -> Iterator[mi.Type]:
    if isinstance(kind, mi.DictType):
        yield kind.value_type
    elif isinstance(kind, mi.VarTupleType | mi.ListType):
        yield kind.item_type
    elif isinstance(kind, mi.UnionType):
        yield from kind.types


def _object(kind: mi.StructType) -> dict[str, Any]:
    return {
        "title": kind.cls.__name__,
        "description": _prose(kind.cls),
        "type": "object",
        "properties": {field.encode_name: _property(kind.cls, field) for field in kind.fields},
        "required": [field.encode_name for field in kind.fields if field.required],
        "additionalProperties": False,
    }


def _property(owner: type[Any], field: mi.Field) -> dict[str, Any]:
    made = {"description": MEANINGS[owner][field.name], **_schema(field.type)}
    if owner is PipelineSpec and field.name == "topics":
        made["propertyNames"] = {"enum": list(TOPIC_NAMES)}
    default = _default(field)
    return made if default is None else {**made, "default": default}


def _schema(kind: mi.Type) -> dict[str, Any]:
    match kind:
        case mi.StructType():
            return {"$ref": f"#/$defs/{kind.cls.__name__}"}
        case mi.DictType():
            names = _schema(kind.key_type)
            made = {"type": "object", "additionalProperties": _schema(kind.value_type)}
            return made | ({"propertyNames": {"pattern": names["pattern"]}} if "pattern" in names else {})
        case mi.VarTupleType() | mi.ListType():
            return {"type": "array", "items": _schema(kind.item_type)}
        case mi.UnionType():
            return {"anyOf": [_schema(member) for member in kind.types]}
    return _plain(kind)


def _plain(kind: mi.Type) -> dict[str, Any]:  # noqa: PLR0911 - a table, a line a type
    match kind:
        case mi.LiteralType():
            return {"enum": list(kind.values)}
        case mi.CustomType():
            return {"type": "string", "pattern": durations.PATTERN, "examples": ["90s", "2h", "1d"]}
        case mi.StrType():
            return {"type": "string"} | ({"pattern": kind.pattern} if kind.pattern else {})
        case mi.IntType() | mi.FloatType():
            return {"type": "integer" if isinstance(kind, mi.IntType) else "number"} | _bounds(kind)
        case mi.BoolType():
            return {"type": "boolean"}
        case mi.NoneType():
            return {"type": "null"}
    return {}  # any value


def _bounds(kind: mi.IntType | mi.FloatType) -> dict[str, float]:
    bounds = {"minimum": kind.ge, "maximum": kind.le}
    # Python gives equal annotations one object, so whether a bound is 0 or 0.0 depends on what was imported first.
    return {name: int(b) if b == int(b) else b for name, b in bounds.items() if b is not None}


def _default(field: mi.Field) -> Any:
    """The default as it would be written; None where there is none to show."""
    if field.required:
        return None
    value = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    return {} if isinstance(value, Spec) else _written(value)


def _written(value: Any) -> Any:
    if isinstance(value, Duration):
        return durations.write(value)
    return [_written(one) for one in value] if isinstance(value, tuple) else value


def _table(kind: mi.StructType) -> Iterator[str]:
    yield "| key | type | default | meaning |"
    yield "|---|---|---|---|"
    for field in kind.fields:
        meaning = MEANINGS[kind.cls][field.name].replace("|", "\\|")
        yield f"| `{field.encode_name}` | {_words(field.type)} | {_shown(field)} | {meaning} |"


def _shown(field: mi.Field) -> str:
    if field.required:
        return "**required**"
    default = _default(field)
    if default in (None, "", {}, []):
        return ""
    text = default if isinstance(default, str) else msgspec.json.encode(default).decode()
    return f"`{text}`"


def _words(kind: mi.Type) -> str:  # noqa: PLR0911 - a table, a line a type
    match kind:
        case mi.StructType():
            return f"[{_heading(kind.cls)}](#{_heading(kind.cls).lower().replace(' ', '-')})"
        case mi.DictType():
            return f"mapping of {_words(kind.value_type)}"
        case mi.VarTupleType() | mi.ListType():
            return f"list of {_words(kind.item_type)}"
        case mi.UnionType():
            return " or ".join(_words(member) for member in kind.types if not isinstance(member, mi.NoneType))
        case mi.LiteralType():
            return ", ".join(f"`{value}`" for value in kind.values)
        case mi.CustomType():
            return "duration"
        case mi.StrType():
            return "name" if kind.pattern else "text"
        case mi.IntType() | mi.FloatType():
            bounds = "".join(f", {word} {b:g}" for word, b in (("≥", kind.ge), ("≤", kind.le)) if b is not None)
            return ("whole number" if isinstance(kind, mi.IntType) else "number") + bounds
        case mi.BoolType():
            return "true or false"
    return "any"


def _heading(cls: type[Any]) -> str:
    return {"PipelineSpec": "The file", "DeadLetterLimit": "Dead letter limit"}.get(
        cls.__name__, cls.__name__.removesuffix("Spec")
    )


def _prose(cls: type[Any]) -> str:
    return " ".join((cls.__doc__ or "").split())
