"""The runtimes a model could score with: converted, held against scikit-learn, measured, and one chosen.

The choice: among the faithful ones, the smallest geometric mean of the time a record at batches of 1, 100 and 1,000,
since a scorer meets all three (calm, busy, catching up). scikit-learn counts as 1.3 times slower than it is:
importing it costs a worker about 150 MB.
"""

import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import skops.io
import treelite.sklearn
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.base import is_classifier
from threadpoolctl import threadpool_limits

from services.retrainer.train import method_of
from shared.core.bundle import MODEL_FILES, RuntimeName
from shared.core.errors import ModelRefused, UserError
from shared.core.features import Floats
from shared.core.golden import Scores, as_columns, difference
from shared.core.ports import Runtime
from shared.runtime.runtimes import load_runtime

BATCHES = (1, 100, 1_000)
SKLEARN_HANDICAP = 1.3
_SECONDS = 0.15


@dataclass(frozen=True, slots=True)
class Candidate:
    """A runtime that was tried. `refused` says why it may not score; `micros` is us a record by batch size."""

    runtime: RuntimeName
    content: bytes = b""
    refused: str = ""
    parity: float = 0.0
    micros: dict[str, float] = field(default_factory=dict)

    @property
    def cost(self) -> float:
        """Geometric mean of the times a record (us)."""
        return float(np.exp(np.mean(np.log(list(self.micros.values())))))


@dataclass(frozen=True, slots=True)
class Export:
    """The chosen runtime, and all that were tried. `gain` is how many times faster than scikit-learn it is."""

    chosen: Candidate
    tried: tuple[Candidate, ...]
    gain: float


def export(
    fitted: Any, runtimes: Sequence[RuntimeName], probes: Floats, expected: Scores, *, tolerance: float, max_bytes: int
) -> Export:
    """Convert, compare, measure, choose.

    Args:
        fitted: the estimator.
        runtimes: those that the pipeline allows.
        probes: float32 (n, d): records to compare on, among them missing and unseen values.
        expected: scikit-learn's scores of the probes.
        tolerance: the largest difference to accept (relative where scores exceed 1).
        max_bytes: of a model file.

    Raises:
        UserError: no runtime is faithful; says what each one did.
    """
    tried = [_try(name, fitted, probes, expected, tolerance, max_bytes) for name in runtimes]
    faithful = [candidate for candidate in tried if not candidate.refused]
    if not faithful:
        told = "; ".join(f"{candidate.runtime}: {candidate.refused}" for candidate in tried)
        raise UserError(
            f"model.runtimes: none of them reproduces scikit-learn ({told})", remedy="allow sklearn as well"
        )
    best = min(faithful, key=lambda c: c.cost * (SKLEARN_HANDICAP if c.runtime == "sklearn" else 1.0))
    own = next((candidate for candidate in faithful if candidate.runtime == "sklearn"), None)
    if own is None:
        with threadpool_limits(1):
            own = Candidate("sklearn", micros=measure(_Direct(fitted), probes))
    return Export(best, tuple(tried), own.cost / best.cost)


def measure(runtime: Runtime, probes: Floats) -> dict[str, float]:
    """Microseconds a record by batch size, in one thread: the fastest quarter of the runs."""
    return {str(n): _micros(runtime.predict, np.resize(probes, (n, probes.shape[1]))) for n in BATCHES}


class _Direct:
    """scikit-learn as it stands in memory, to be measured."""

    def __init__(self, fitted: Any) -> None:
        self.predict = method_of(fitted)


def _try(
    name: RuntimeName, fitted: Any, probes: Floats, expected: Scores, tolerance: float, max_bytes: int
) -> Candidate:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            content = _CONVERTERS[name](fitted, probes.shape[1])
    except Exception as error:  # noqa: BLE001 - converters raise what they like for what they cannot convert
        return Candidate(name, refused=f"cannot be converted ({type(error).__name__})")
    if len(content) > max_bytes:
        return Candidate(name, refused=f"{len(content):,} bytes, model.max_bytes is {max_bytes:,}")
    try:
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / MODEL_FILES[name]).write_bytes(content)
            runtime = load_runtime(name, Path(folder))
        parity = difference(as_columns(runtime.predict(probes), len(probes)), as_columns(expected, len(probes)))
    except (ModelRefused, ValueError) as error:
        return Candidate(name, refused=str(error))
    if not parity <= tolerance:
        return Candidate(name, refused=f"differs by {parity:.2g}, allowed is {tolerance:.2g}", parity=parity)
    with threadpool_limits(1):
        return Candidate(name, content, parity=parity, micros=measure(runtime, probes))


def _onnx(fitted: Any, width: int) -> bytes:
    options = {id(fitted): {"zipmap": False}} if is_classifier(fitted) else None
    model = to_onnx(fitted, initial_types=[("matrix", FloatTensorType([None, width]))], options=options)
    return bytes(model.SerializeToString())


def _treelite(fitted: Any, _: int) -> bytes:
    return bytes(treelite.sklearn.import_model(fitted).serialize_bytes())


def _sklearn(fitted: Any, _: int) -> bytes:
    return bytes(skops.io.dumps(fitted))


_CONVERTERS: dict[RuntimeName, Callable[[Any, int], bytes]] = {
    "onnx": _onnx,
    "treelite": _treelite,
    "sklearn": _sklearn,
}


def _micros(predict: Callable[[Any], Any], matrix: Floats) -> float:
    times: list[float] = []
    predict(matrix)
    end = time.perf_counter() + _SECONDS
    while time.perf_counter() < end or len(times) < 3:  # noqa: PLR2004 - a median needs a few
        begin = time.perf_counter()
        predict(matrix)
        times.append(time.perf_counter() - begin)
    return round(float(np.quantile(times, 0.25)) / len(matrix) * 1e6, 4)
