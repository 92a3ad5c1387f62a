"""The version in force, as far as a challenger is judged beside it: its answers, its training's end, its speed."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from services.retrainer.dataset import Dataset
from services.retrainer.judge import answered
from services.retrainer.scores import positive_of
from services.retrainer.tables import Table, table
from shared.adapters.signing import Verifier
from shared.core.bundle import REFERENCE, Manifest
from shared.core.bundle_checks import check_manifest, check_ref, classes_of, parse_manifest
from shared.core.codec import RecordCodec
from shared.core.errors import ModelRefused
from shared.core.pipeline import PipelineSpec
from shared.core.ports import Clock, Runtime
from shared.core.records import BundleRef, Prediction
from shared.core.reference import Reference
from shared.runtime.fetch import Fetcher
from shared.runtime.model_files import model_cache, public_key
from shared.runtime.runtimes import load_runtime
from shared.runtime.settings import Settings

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Champion:
    """A verified bundle with its model loaded. `reference` is what it was trained on."""

    ref: BundleRef
    manifest: Manifest
    reference: Reference
    runtime: Runtime

    @property
    def speed(self) -> float:
        """Microseconds a record, as measured at its training."""
        return speed_of(self.manifest.measured.get(self.manifest.runtime, {}))

    def table(self, spec: PipelineSpec, codec: RecordCodec, data: Dataset, places: NDArray[np.intp]) -> Table:
        """Some records as the matrix that it sees.

        Raises:
            DataRefused: the features refuse all of them.
        """
        return table(spec, codec, data, places, self.manifest.columns)

    def answers(self, spec: PipelineSpec, seen: Table) -> Values:
        """Its answers: probabilities (n, k), or values (n,) in the target's own unit."""
        raw = np.asarray(self.runtime.predict(seen.matrix), dtype=np.float64)
        return answered(spec, self.manifest.post, raw)


def champion_of(spec: PipelineSpec, settings: Settings, ref: BundleRef, state: Path, clock: Clock) -> Champion:
    """Fetch, verify and load a version.

    Raises:
        ModelRefused: it is not what was announced and signed.
        Unavailable: it cannot be had now.
    """
    check_ref(ref)
    verifier = Verifier(public_key(settings.models, state))

    def check(content: bytes, signature: bytes) -> Manifest:
        verifier.verify(content, signature)
        manifest = parse_manifest(content)
        check_manifest(manifest, spec, ref)
        return manifest

    fetcher = Fetcher(model_cache(settings.models, state), settings.mlflow, clock, time.sleep)
    folder, manifest = fetcher.fetch(ref, check, settings.models.timeout)
    try:
        reference = msgspec.json.decode((folder / REFERENCE).read_bytes(), type=Reference)
    except (OSError, msgspec.DecodeError) as error:
        raise ModelRefused(f"files: {REFERENCE} of {ref.version} cannot be read: {error}") from None
    return Champion(ref, manifest, reference, load_runtime(manifest.runtime, folder))


def speed_of(measured: Mapping[str, float]) -> float:
    """Microseconds a record in large batches; 0 where nothing was measured."""
    return measured.get("1000") or max(measured.values(), default=0.0)


def as_given(spec: PipelineSpec, prediction: Prediction) -> list[float] | None:
    """A prediction as one row of answers; None where it does not have all of them."""
    if spec.task == "regression":
        return [prediction.score]
    if spec.task == "binary":
        row = [1.0 - prediction.score, prediction.score]
        return row if positive_of(spec) == 1 else row[::-1]
    shares = prediction.probabilities
    return None if shares is None else [shares.get(name, 0.0) for name in classes_of(spec)]
