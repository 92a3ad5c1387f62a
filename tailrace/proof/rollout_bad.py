"""Versions that must be refused, each made of a good one: wrong in one way, and it would score if nobody looked."""

import hashlib
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec
import numpy as np
import skops.io
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)

from shared.adapters.signing import Signer, make_keys
from shared.core.bundle import GOLDEN, MANIFEST, MODEL_FILES, SIGNATURE, FileEntry, Golden, Manifest, encode_manifest
from shared.core.bundle_checks import parse_golden, parse_manifest
from shared.core.golden import as_columns, golden_matrix
from shared.core.pipeline import PipelineSpec
from shared.core.records import BundleRef

_AGAIN = 1_500  # times the same ten trees: some hundred microseconds a record, where a good model takes one or two
_STATED = 1.0  # what its manifest says of them
Sign = Callable[[bytes], bytes]


class Spoiler:
    """Makes bad versions of a good one.

    Args:
        spec: the pipeline.
        good: a bundle in a folder of this machine.
        home: where the bad ones go.
        sign: with the key that scorers trust.
        seed: of what is made up.
    """

    def __init__(self, spec: PipelineSpec, good: BundleRef, home: Path, sign: Sign, seed: int) -> None:
        self._spec, self._home, self._sign, self._seed = spec, home, sign, seed
        self._good = Path(unquote(urlsplit(good.uri).path))

    def all(self, first: int) -> dict[str, BundleRef]:
        """One of each kind, by what is wrong with it; their versions count up from `first`."""
        makers = (self._corrupt, self._mis_signed, self._wrong_shaped, self._not_a_number, self._slow)
        return {self._name(maker): maker(str(first + i)) for i, maker in enumerate(makers)}

    @staticmethod
    def _name(maker: Callable[[str], BundleRef]) -> str:
        return maker.__name__.strip("_").replace("_", "-")

    def _copy(self, version: str) -> tuple[Path, Manifest]:
        folder = self._home / version
        shutil.copytree(self._good, folder)
        manifest = parse_manifest((folder / MANIFEST).read_bytes())
        return folder, msgspec.structs.replace(manifest, version=version)

    def _corrupt(self, version: str) -> BundleRef:
        """Signed and whole, and then one bit of the model flips."""
        folder, manifest = self._copy(version)
        ref = self._seal(folder, manifest, {})
        path = folder / MODEL_FILES[manifest.runtime]
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
        return ref

    def _mis_signed(self, version: str) -> BundleRef:
        """Signed by somebody else."""
        folder, manifest = self._copy(version)
        keys = self._home / f"{version}.key", self._home / f"{version}.pub"
        make_keys(*keys)
        return self._seal(folder, manifest, {}, Signer(keys[0]).sign)

    def _wrong_shaped(self, version: str) -> BundleRef:
        """It wants a column less than the pipeline has."""
        folder, manifest = self._copy(version)
        return self._seal(folder, msgspec.structs.replace(manifest, columns=manifest.columns[:-1]), {})

    def _not_a_number(self, version: str) -> BundleRef:
        """A model of the right shape whose every answer is NaN."""
        folder, manifest = self._copy(version)
        forest = self._forest(manifest, golden_matrix(self._golden(folder), manifest, self._spec))
        for tree in forest.estimators_:
            tree.tree_.value[...] = np.nan
        return self._seal(folder, *self._with(folder, manifest, forest))

    def _slow(self, version: str) -> BundleRef:
        """A model that answers as its golden records say, in a hundred times what its manifest says."""
        folder, manifest = self._copy(version)
        golden = self._golden(folder)
        matrix = golden_matrix(golden, manifest, self._spec)
        boosted = self._boosted(manifest, matrix)
        raw = boosted.predict(matrix) if manifest.task == "regression" else boosted.predict_proba(matrix)
        scores = as_columns(raw, len(matrix)).tolist()
        changed, files = self._with(folder, manifest, boosted)
        files = {**files, GOLDEN: msgspec.json.encode(msgspec.structs.replace(golden, scores=scores))}
        return self._seal(folder, changed, files)

    def _forest(self, manifest: Manifest, matrix: Any) -> Any:
        """A forest that has learnt made-up answers to the golden records; every class occurs."""
        regression = manifest.task == "regression"
        forest = (RandomForestRegressor if regression else RandomForestClassifier)(2, random_state=self._seed)
        return forest.fit(matrix, _answers(manifest, len(matrix)))

    def _boosted(self, manifest: Manifest, matrix: Any) -> Any:
        """Boosted trees of the same, each of them many times over."""
        regression = manifest.task == "regression"
        kind = HistGradientBoostingRegressor if regression else HistGradientBoostingClassifier
        boosted = kind(max_iter=10, min_samples_leaf=5, random_state=self._seed)
        boosted.fit(matrix, _answers(manifest, len(matrix)))
        boosted._predictors = boosted._predictors * _AGAIN  # noqa: SLF001 - to fit so many would take minutes
        return boosted

    @staticmethod
    def _golden(folder: Path) -> Golden:
        return parse_golden((folder / GOLDEN).read_bytes())

    @staticmethod
    def _with(folder: Path, manifest: Manifest, estimator: Any) -> tuple[Manifest, dict[str, bytes]]:
        """The manifest with another model in it, and that model's file."""
        old = MODEL_FILES[manifest.runtime]
        (folder / old).unlink()
        files = {name: entry for name, entry in manifest.files.items() if name != old}
        measured = {"sklearn": {"1000": _STATED}}
        changed = msgspec.structs.replace(manifest, runtime="sklearn", measured=measured, files=files)
        return changed, {MODEL_FILES["sklearn"]: skops.io.dumps(estimator)}

    def _seal(
        self, folder: Path, manifest: Manifest, files: Mapping[str, bytes], sign: Sign | None = None
    ) -> BundleRef:
        for name, content in files.items():
            (folder / name).write_bytes(content)
            entry = FileEntry(hashlib.sha256(content).hexdigest(), len(content))
            manifest = msgspec.structs.replace(manifest, files={**manifest.files, name: entry})
        content = encode_manifest(manifest)
        (folder / MANIFEST).write_bytes(content)
        (folder / SIGNATURE).write_bytes((sign or self._sign)(content))
        return BundleRef(manifest.version, folder.absolute().as_uri(), hashlib.sha256(content).hexdigest())


def _answers(manifest: Manifest, n: int) -> Any:
    return np.arange(n, dtype=np.float64) if manifest.task == "regression" else np.arange(n) % len(manifest.classes)
