"""From the tree of a pipeline's file to its frozen types, with every mistake at once.

`msgspec.convert` stops at the first mistake, and a person mends a file much faster when shown all. So the tree is
walked here by msgspec's own description of the types; what cannot be decoded becomes `UNKNOWN`, and
the checks of the whole (`shared/core/pipeline_checks.py`) still run on all the rest.
"""

import math
import re
from collections.abc import Callable
from typing import Any

from msgspec import inspect as mi

from shared.core import durations
from shared.core.aggregate_fields import resolved
from shared.core.mistakes import UNKNOWN, Mistake, Mistakes, at, near
from shared.core.pipeline import PipelineSpec
from shared.core.pipeline_base import Duration
from shared.core.pipeline_checks import check

__all__ = ["Mistake", "Mistakes", "decode"]


def decode(tree: object, where: str) -> PipelineSpec:
    """Decode and check a pipeline's file.

    Args:
        tree: what the YAML or JSON parser gave: dicts, lists, texts, numbers.
        where: the file's name, for the message.

    Raises:
        Mistakes: with every mistake of form and of meaning, each with its path.
    """
    mistakes: list[Mistake] = []
    spec = _Walk(mistakes).value(mi.type_info(PipelineSpec), tree, "")
    if isinstance(spec, PipelineSpec):
        mistakes += check(spec)
    if mistakes:
        raise Mistakes(where, mistakes)
    return resolved(spec)


class _Walk:
    """Decodes by type, and notes what is wrong instead of raising."""

    def __init__(self, mistakes: list[Mistake]) -> None:
        self._mistakes = mistakes
        self._by_type: dict[type[mi.Type], Callable[[Any, Any, str], Any]] = {
            mi.StructType: self._struct,
            mi.DictType: self._dict,
            mi.VarTupleType: lambda kind, v, path: self._list(kind, v, path, tuple),
            mi.ListType: lambda kind, v, path: self._list(kind, v, path, list),
            mi.UnionType: self._union,
            mi.LiteralType: self._literal,
            mi.CustomType: self._duration,
            mi.StrType: self._text,
            mi.IntType: self._integer,
            mi.FloatType: self._number,
            mi.BoolType: self._boolean,
            mi.AnyType: lambda _kind, v, path: self._any(v, path),
        }

    def value(self, kind: mi.Type, value: Any, path: str) -> Any:
        """The decoded value, or `UNKNOWN` with a mistake noted."""
        return self._by_type[type(kind)](kind, value, path)

    def _wrong(self, path: str, what: str, remedy: str = "") -> Any:
        self._mistakes.append(Mistake(path, what, remedy))
        return UNKNOWN

    def _struct(self, kind: mi.StructType, value: Any, path: str) -> Any:
        if not isinstance(value, dict):
            keys = ", ".join(field.encode_name for field in kind.fields[:4])
            return self._wrong(path, f"must be a mapping, not {_named(value)}", f"write its keys ({keys} ...) below it")
        fields = {field.encode_name: field for field in kind.fields}
        for key in value:
            if key not in fields:
                self._wrong(
                    at(path, str(key)), "is no known key", near(str(key), [n for n in fields if n not in value])
                )
        made: dict[str, Any] = {}
        for name, field in fields.items():
            if name in value:
                made[field.name] = self.value(field.type, value[name], at(path, name))
            elif field.required:
                made[field.name] = self._wrong(at(path, name), "is missing", _expected(field.type))
        return kind.cls(**made)

    def _dict(self, kind: mi.DictType, value: Any, path: str) -> Any:
        if not isinstance(value, dict):
            return self._wrong(path, f"must be a mapping, not {_named(value)}", "write `name: ...` lines below it")
        made: dict[Any, Any] = {}
        for key, item in value.items():
            here = at(path, str(key))
            if self.value(kind.key_type, key, here) is not UNKNOWN:
                made[key] = self.value(kind.value_type, item, here)
        return made

    def _list(
        self, kind: mi.VarTupleType | mi.ListType, value: Any, path: str, make: Callable[[list[Any]], Any]
    ) -> Any:
        if not isinstance(value, list):
            return self._wrong(path, f"must be a list, not {_named(value)}", "write `- ...` lines below it, or [a, b]")
        return make([self.value(kind.item_type, item, at(path, i)) for i, item in enumerate(value)])

    def _union(self, kind: mi.UnionType, value: Any, path: str) -> Any:
        members = [member for member in kind.types if not isinstance(member, mi.NoneType)]
        if value is None and len(members) < len(kind.types):
            return None
        fitting = [member for member in members if _fits(member, value)]
        return self.value((fitting or members)[0], value, path)

    def _literal(self, kind: mi.LiteralType, value: Any, path: str) -> Any:
        if value in kind.values and type(value) in {type(v) for v in kind.values}:
            return value
        known = [str(v) for v in kind.values]
        return self._wrong(path, f"{_shown(value)} is none of {', '.join(known)}", _meant(str(value), known))

    def _duration(self, kind: mi.CustomType, value: Any, path: str) -> Any:
        if kind.cls is not Duration:
            raise TypeError(f"no decoder for {kind.cls} at {path}")
        try:
            return durations.parse(value if isinstance(value, str) else str(value))
        except ValueError as error:
            what, _, remedy = str(error).partition("; ")
            return self._wrong(path, what, remedy)

    def _text(self, kind: mi.StrType, value: Any, path: str) -> Any:
        if not isinstance(value, str):
            quote = isinstance(value, bool | int | float)
            remedy = "put it in quotes (YAML reads yes, no, on, off as true and false)" if quote else ""
            return self._wrong(path, f"must be a text, not {_named(value)}", remedy)
        if kind.pattern and not re.search(kind.pattern, value):
            return self._wrong(path, f'"{value}" is no name', "use a-z, 0-9 and _, a letter first, at most 63 in all")
        return value

    def _integer(self, kind: mi.IntType, value: Any, path: str) -> Any:
        if isinstance(value, bool) or not isinstance(value, int):
            return self._wrong(path, f"must be a whole number, not {_named(value)}")
        return self._bounded(kind, value, path)

    def _number(self, kind: mi.FloatType, value: Any, path: str) -> Any:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return self._wrong(path, f"must be a number, not {_named(value)}")
        if not math.isfinite(value):
            return self._wrong(path, f"{value} is not finite", "leave the key out where there is no bound")
        return self._bounded(kind, float(value), path)

    def _bounded(self, kind: mi.IntType | mi.FloatType, value: float, path: str) -> Any:
        if kind.ge is not None and value < kind.ge:
            return self._wrong(path, f"{value:g} is too small", f"at least {kind.ge:g} is allowed")
        if kind.le is not None and value > kind.le:
            return self._wrong(path, f"{value:g} is too large", f"at most {kind.le:g} is allowed")
        return value

    def _boolean(self, _kind: mi.BoolType, value: Any, path: str) -> Any:
        return value if isinstance(value, bool) else self._wrong(path, f"must be true or false, not {_named(value)}")

    def _any(self, value: Any, path: str) -> Any:
        if isinstance(value, float) and not math.isfinite(value):
            return self._wrong(path, f"{value} is not finite")
        if isinstance(value, dict):
            return {key: self._any(item, at(path, str(key))) for key, item in value.items()}
        if isinstance(value, list):
            return [self._any(item, at(path, i)) for i, item in enumerate(value)]
        return value


def _fits(kind: mi.Type, value: Any) -> bool:
    if isinstance(kind, mi.StrType):
        return isinstance(value, str)
    return (
        isinstance(kind, mi.FloatType | mi.IntType) and isinstance(value, int | float) and not isinstance(value, bool)
    )


def _shown(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else _named(value)


def _named(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    return (
        f'"{value}"'
        if isinstance(value, str)
        else f"the number {value}"
        if isinstance(value, int | float)
        else repr(value)
    )


def _meant(word: str, known: list[str]) -> str:
    remedy = near(word, known)
    return remedy if remedy.startswith("did") else ""


def _expected(kind: mi.Type) -> str:
    if isinstance(kind, mi.LiteralType):
        return f"write one of {', '.join(str(v) for v in kind.values)}"
    if isinstance(kind, mi.CustomType):
        return "write a duration such as 2h, 90s or 1d"
    return "every pipeline needs it" if isinstance(kind, mi.StructType) else "write it"
