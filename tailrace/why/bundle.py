"""The version that answered: found on `models` by its digest, fetched and verified like a scorer's, and run again."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from shared.adapters.signing import Verifier
from shared.core.bundle import GOLDEN, REFERENCE, Manifest
from shared.core.bundle_checks import check_manifest, check_ref, parse_golden, parse_manifest
from shared.core.codec import RecordCodec
from shared.core.errors import Invalid, ModelRefused
from shared.core.features import FeatureBuilder, Floats
from shared.core.golden import golden_matrix
from shared.core.left import as_left
from shared.core.pipeline import PipelineSpec
from shared.core.ports import Found, Runtime
from shared.core.records import BundleRef, Observation, Rollout
from shared.core.reference import Reference
from shared.core.scoring import Version, answers
from shared.runtime.clock import SystemClock
from shared.runtime.fetch import Fetcher
from shared.runtime.model_files import model_cache, public_key, state_folder
from shared.runtime.runtimes import load_runtime
from shared.runtime.settings import Settings
from tailrace.why.terms import Again

SIZES = (1, *range(2, 18), 32)
"""Records scored at once, to find how many gave the last digit."""


def ref_of(values: Iterable[bytes], digest: str) -> BundleRef | None:
    """The bundle of this digest among the values of `models`."""
    decode = msgspec.json.Decoder(Rollout).decode
    named = [ref for rollout in map(decode, values) for ref in (rollout.champion, rollout.challenger) if ref]
    return next((ref for ref in named if ref.digest == digest), None)


@dataclass(frozen=True, slots=True)
class Bundle:
    """One verified version, loaded. `importance` is by feature, as its training found it."""

    spec: PipelineSpec
    folder: Path
    manifest: Manifest
    runtime: Runtime
    importance: dict[str, float]

    def matrix(self, observation: Observation) -> Floats:
        """What the model sees of an observation, (1, d).

        Raises:
            Invalid: its record does not fit the pipeline as it is declared now.
        """
        codec = RecordCodec(as_left(self.spec))
        row = codec.decode_one(bytes(observation.record))
        found = Found({group: [observation.lookups.get(group)] for group in self.spec.lookups})
        matrix = FeatureBuilder(self.spec, codec, self.manifest.columns).matrix([row], found)
        if matrix.refused:
            raise Invalid(*matrix.refused[0])
        return matrix.values

    def raw(self, matrix: Floats) -> NDArray[np.float64]:
        """The model's own output for these rows."""
        with threadpool_limits(1):
            return np.asarray(self.runtime.predict(matrix), dtype=np.float64)

    def again(self, observation: Observation, matrix: Floats) -> Again:
        """Score the one row again; where the last digit differs, as one of several: a scorer takes batches."""
        said, m = observation.prediction, self.manifest
        version = Version(said.epoch, m.version, observation.digest, m.classes, m.threshold, m.post)
        first: list[tuple[float, str | float]] = []
        for size in SIZES:
            found = answers(self.spec, version, self.raw(np.repeat(matrix, size, axis=0)))
            for score, label in zip(found.scores, found.labels, strict=True):
                first.append((score, label))
                if (score, label) == (said.score, said.label):
                    return Again(score, label, equal=True, batch=size)
        return Again(first[0][0], first[0][1], equal=False, batch=1)

    def golden(self) -> Floats:
        """The matrix of its golden records, (n, d).

        Raises:
            ModelRefused: they cannot be read, or do not fit the pipeline as it is declared now.
        """
        try:
            return golden_matrix(parse_golden((self.folder / GOLDEN).read_bytes()), self.manifest, self.spec)
        except OSError as error:
            raise ModelRefused(f"files: {GOLDEN} cannot be read ({error.strerror})") from None


def open_bundle(spec: PipelineSpec, settings: Settings, ref: BundleRef, state: Path | None = None) -> Bundle:
    """Fetch a bundle, hold it against its signature, and load its model.

    Args:
        spec: the pipeline that it must fit.
        settings: where bundles are, and by which key they are signed.
        ref: as announced.
        state: the state folder; None: that of this process.

    Raises:
        ModelRefused: it is not what was announced and signed, or does not fit the pipeline as it is declared now.
        Unavailable: it cannot be had.
        UserError: the public key is missing.
    """
    models, state = settings.models, state or state_folder()
    check_ref(ref)
    verifier = Verifier(public_key(models, state))

    def check(content: bytes, signature: bytes) -> Manifest:
        verifier.verify(content, signature)
        manifest = parse_manifest(content)
        check_manifest(manifest, spec, ref)
        return manifest

    fetcher = Fetcher(model_cache(models, state), settings.mlflow, SystemClock(), time.sleep)
    folder, manifest = fetcher.fetch(ref, check, models.timeout)
    return Bundle(spec, folder, manifest, load_runtime(manifest.runtime, folder), _importance(folder))


def place_of(spec: PipelineSpec, classes: Sequence[str], label: str | float) -> int:
    """The column of probabilities that an answer's score is of; 0 for a regression."""
    if spec.task == "regression":
        return 0
    return list(classes).index(spec.labels.positive if spec.task == "binary" else str(label))


def _importance(folder: Path) -> dict[str, float]:
    try:
        return msgspec.json.decode((folder / REFERENCE).read_bytes(), type=Reference).importance
    except (OSError, msgspec.DecodeError):
        return {}
