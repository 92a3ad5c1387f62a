"""The generated descriptions of the pipeline's file: current, complete, and in agreement with the decoder."""

import copy
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from shared.adapters.pipeline_yaml import read_tree
from shared.core.pipeline_file import Mistakes, decode
from shared.core.pipeline_meanings import MEANINGS
from shared.core.pipeline_schema import json_schema, sections
from tailrace.cli.validate import reference, schema_text

ROOT = Path(__file__).parents[3]
PARCELS = ROOT / "tests" / "data" / "parcels" / "pipeline.yaml"
FILES = [PARCELS, *sorted((ROOT / "pipelines").glob("*/pipeline.yaml"))]


def test_every_key_has_a_meaning_and_no_meaning_is_left_over() -> None:
    """The table of meanings names exactly the keys of the types."""
    assert {k.cls: {f.name for f in k.fields} for k in sections()} == {c: set(m) for c, m in MEANINGS.items()}


@pytest.mark.parametrize(
    ("file", "text"), [("docs/pipeline.schema.json", schema_text()), ("docs/pipeline-file.md", reference())]
)
def test_the_committed_copy_is_current(file: str, text: str) -> None:
    """The files in docs are what `tailrace schema` prints now."""
    assert (ROOT / file).read_text(encoding="utf-8") == text


def test_the_schema_is_one() -> None:
    """The schema is valid JSON Schema, and every reference in it leads somewhere."""
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    names = {ref.removeprefix("#/$defs/") for ref in _refs(schema)}
    assert names == set(schema["$defs"])


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.parent.name)
def test_every_pipeline_of_ours_fits(file: Path) -> None:
    """Our pipelines pass the schema and the decoder."""
    tree = read_tree(file)
    jsonschema.validate(tree, json_schema())
    decode(tree, str(file))


def test_schema_and_decoder_agree_on_form() -> None:
    """What is wrong in form by the decoder is wrong by the schema: each value replaced by one of another type."""
    good, schema = read_tree(PARCELS), jsonschema.Draft202012Validator(json_schema())
    for path in _paths(good):
        values: tuple[Any, ...] = (True, 3, -1.5, "x", "2 hour", [], {}, {"unknown_key": 1})
        for value in values:
            tree = copy.deepcopy(good)
            _put(tree, path, value)
            if not schema.is_valid(tree):
                with pytest.raises(Mistakes):
                    decode(tree, f"{path} = {value!r}")


def _put(tree: Any, path: tuple[str | int, ...], value: Any) -> None:
    for step in path[:-1]:
        tree = tree[step]
    tree[path[-1]] = value


def _paths(node: Any, above: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [found for key, item in items for found in ((*above, key), *_paths(item, (*above, key)))]


def _refs(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if "$ref" in node else []
        return own + [ref for item in node.values() for ref in _refs(item)]
    return [ref for item in node for ref in _refs(item)] if isinstance(node, list) else []
