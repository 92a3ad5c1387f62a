"""A pipeline's folder: found by path or by name, its `pipeline.yaml` read by PyYAML's safe loader, then decoded."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from shared.core.errors import UserError
from shared.core.mistakes import Mistake, Mistakes
from shared.core.pipeline import PipelineSpec
from shared.core.pipeline_file import decode

FILE = "pipeline.yaml"
_OURS = Path(__file__).resolve().parents[2] / "pipelines"
# A pipeline is a page or two; a file of megabytes is another file, or an attack by aliases.
_MAX_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A pipeline and the folder that its relative paths start from."""

    spec: PipelineSpec
    folder: Path


def load_pipeline(where: str | Path) -> Pipeline:
    """Find, read and check a pipeline.

    Args:
        where: a folder, a `pipeline.yaml`, or a bare name looked up under `$TAILRACE_PIPELINES`, `./pipelines` and
            the repository's `pipelines/`, in this order.

    Raises:
        UserError: nothing is there (names the places), or the file cannot be read.
        Mistakes: the file has mistakes; all of them, each with its path or line.
    """
    file = find(where)
    return Pipeline(decode(read_tree(file), str(file)), file.parent.absolute())


def find(where: str | Path) -> Path:
    """The pipeline's file.

    Raises:
        UserError: it is in none of the places, which are named.
    """
    looked = list(_places(where))
    for place in looked:
        if place.is_file():
            return place
    places = ", ".join(str(place) for place in looked)
    raise UserError(f"no pipeline {where}: looked at {places}", remedy=f"name a folder that has a {FILE}")


def read_tree(file: Path) -> Any:
    """The YAML tree of a file: dicts, lists, texts, numbers, booleans.

    Raises:
        UserError: the file cannot be read.
        Mistakes: it is no YAML, or a key stands twice; names line and column.
    """
    try:
        if file.stat().st_size > _MAX_BYTES:
            raise UserError(f"{file}: larger than {_MAX_BYTES:,} bytes", remedy="is this a pipeline's file?")
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror})", remedy="name a readable file") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{file}: is not UTF-8 text (byte {error.start})", remedy="save it as UTF-8") from None
    return parse(text, str(file))


def parse(text: str, where: str) -> Any:
    """The tree of a YAML text; `where` names it in mistakes.

    Raises:
        Mistakes: it is no YAML, or keys stand twice; names line and column.
    """
    doubled: list[Mistake] = []
    try:
        loader = _Loader(text)
        loader.doubled = doubled
        tree = loader.get_single_data()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise Mistakes(where, [Mistake(place, f"is no YAML: {error.problem or error.context}")]) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise Mistakes(where, [Mistake("", f"is no YAML: {str(error).splitlines()[0]}")]) from None
    if doubled:
        raise Mistakes(where, doubled)
    return tree


def _places(where: str | Path) -> Iterable[Path]:
    path = Path(where)
    named = str(where).rstrip("/")  # the shell completes a folder's name with a slash
    yield path / FILE if path.is_dir() or path.suffix not in (".yaml", ".yml") else path
    if path.name == named and not path.suffix:
        if folder := os.environ.get("TAILRACE_PIPELINES"):
            yield Path(folder) / path / FILE
        yield Path("pipelines") / path / FILE
        yield _OURS / path / FILE


class _Loader(yaml.SafeLoader):
    """The safe loader; keys that stand twice are collected, aliases refused, times stay as they are written."""

    doubled: list[Mistake]

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            # Ten nested aliases make a billion nodes of a page; a pipeline needs none.
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call] # PyYAML's stubs
            raise yaml.MarkedYAMLError(problem="aliases (*name) are not read here", problem_mark=mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:  # noqa: FBT001, FBT002 - PyYAML's signature
        first: dict[str, int] = {}
        for key, _ in node.value:
            line, name = key.start_mark.line + 1, str(key.value)
            if name in first:
                self.doubled.append(Mistake(f"line {line}", f'"{name}" stands again, first on line {first[name]}'))
            first.setdefault(name, line)
        return super().construct_mapping(node, deep=deep)


# Without this, `2013-02-01` becomes a date object; it is for the types to say what is a time.
_Loader.yaml_implicit_resolvers = {
    first: [(tag, regexp) for tag, regexp in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
