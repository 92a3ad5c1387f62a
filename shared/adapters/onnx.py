"""ONNX models by onnxruntime: one thread, since a worker has one core, and no arena, which keeps its peak for ever."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from shared.core.errors import ModelRefused

# The protobuf of a tensor that is kept in another file names it under this key: a path out of the bundle.
_EXTERNAL = b"\x0a\x08location"
_CLASSIFIER_OUTPUTS = 2
_ERRORS_ONLY = 3


class OnnxRuntime:
    """A loaded ONNX model: `predict` as in `shared.core.ports.Runtime`."""

    def __init__(self, session: Any) -> None:
        outputs = [output.name for output in session.get_outputs()]
        self._session = session
        self._input = session.get_inputs()[0].name
        self._output = outputs[-1:]  # a classifier gives labels, then probabilities
        self._is_classifier = len(outputs) == _CLASSIFIER_OUTPUTS

    def predict(self, matrix: Any) -> Any:
        """Scores of a float32 (n, d) matrix: float64, (n, k) for a classifier, else (n,)."""
        (scores,) = self._session.run(self._output, {self._input: matrix})
        scores = np.asarray(scores, dtype=np.float64)
        return scores if self._is_classifier else scores.reshape(len(matrix))


def load(path: Path) -> OnnxRuntime:
    """Load a model file; it runs no code of the file.

    Raises:
        ModelRefused: not an ONNX model that stands alone.
    """
    content = path.read_bytes()
    if _EXTERNAL in content:
        raise ModelRefused("model: the ONNX file refers to another file")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = options.enable_mem_pattern = False
    options.log_severity_level = _ERRORS_ONLY
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        return OnnxRuntime(session)
    except Exception as error:  # noqa: BLE001 - onnxruntime raises a class of its own for each way to be broken
        raise ModelRefused(f"model: not a loadable ONNX file ({str(error)[:200]})") from None
