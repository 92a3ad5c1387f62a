"""scikit-learn models in skops' format, loaded only when every node is of a kind and type that OUR list names.

skops itself trusts every type of scikit-learn, numpy and scipy, and what a caller copies from the artifact; we trust
neither. The archive's schema is walked before skops sees the file. The only module that imports scikit-learn to score.
"""

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import skops.io

from shared.core.errors import ModelRefused
from shared.core.model_types import LOADERS, PROTOCOL, TRUSTED, TYPES

MAX_UNPACKED = 2_000_000_000
MAX_MEMBERS = 100_000
MAX_SCHEMA = 200_000_000
_RATIO = 200  # deflate of real arrays stays far below; a bomb reaches 1,000


class SklearnRuntime:
    """A loaded estimator: `predict` as in `shared.core.ports.Runtime`."""

    def __init__(self, estimator: Any) -> None:
        self._predict = getattr(estimator, "predict_proba", estimator.predict)
        if hasattr(estimator, "score_samples"):  # an isolation forest: there, lower is more unusual
            self._predict = lambda matrix: -estimator.score_samples(matrix)

    def predict(self, matrix: Any) -> Any:
        """Scores of a float32 (n, d) matrix: float64, (n, k) for a classifier, else (n,)."""
        return np.asarray(self._predict(matrix), dtype=np.float64)


def load(path: Path) -> SklearnRuntime:
    """Load an estimator.

    Raises:
        ModelRefused: not a skops archive, a type that the list does not have, or an archive out of bounds.
    """
    return SklearnRuntime(load_estimator(path))


def load_estimator(path: Path) -> Any:
    """The estimator itself, to be looked into.

    Raises:
        ModelRefused: as `load` does.
    """
    try:
        check_archive(path)
        return skops.io.load(path, trusted=sorted(TRUSTED))
    except ModelRefused:
        raise
    except Exception as error:  # noqa: BLE001 - a crafted archive may raise anything from inside skops
        raise ModelRefused(f"model: not a loadable skops file ({type(error).__name__}: {str(error)[:200]})") from None


def check_archive(path: Path) -> None:
    """Refuse an archive by its table of contents and its schema alone; nothing of it is constructed.

    Raises:
        ModelRefused: names the first thing that is out of bounds.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            _check_members(archive.infolist())
            schema = json.loads(archive.read("schema.json"))
    except (OSError, zipfile.BadZipFile, KeyError, ValueError, RecursionError, NotImplementedError) as error:
        raise ModelRefused(f"model: not a skops archive ({type(error).__name__})") from None
    if not isinstance(schema, dict) or schema.get("protocol") != PROTOCOL:
        raise ModelRefused(f"model: not of skops' protocol {PROTOCOL}")
    for loader, name in _nodes(schema):
        if loader not in LOADERS:
            raise ModelRefused(f"types: the model holds a node of kind {loader[:60]!a}, which is not on our list")
        if name not in TYPES.get(loader, TYPES[""]):
            raise ModelRefused(f"types: the model holds {name[:120]!a} as {loader}, which is not on our list")


def _check_members(members: list[zipfile.ZipInfo]) -> None:
    if len(members) > MAX_MEMBERS or sum(m.file_size for m in members) > MAX_UNPACKED:
        raise ModelRefused("size: the archive unpacks to more than is allowed")
    for member in members:
        stem, _, kind = member.filename.partition(".")
        if member.filename != "schema.json" and not (stem.isdigit() and kind in {"npy", "npz"}):
            raise ModelRefused(f"files: the archive holds {member.filename[:80]!a}")
        if member.file_size > _RATIO * max(member.compress_size, 1_000):
            raise ModelRefused("size: a member of the archive is a compression bomb")
        if member.filename == "schema.json" and member.file_size > MAX_SCHEMA:
            raise ModelRefused("size: the archive's schema is larger than is allowed")


def _nodes(schema: Any) -> Iterator[tuple[str, str]]:
    """Each (kind of node, full name of its type) anywhere in the schema, without recursion."""
    waiting = [schema]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            if "__loader__" in node or "__class__" in node:
                yield str(node.get("__loader__")), f"{node.get('__module__')}.{node.get('__class__')}"
            waiting.extend(node.values())
        elif isinstance(node, list):
            waiting.extend(node)
