"""Loading a model by the name of its runtime: only the chosen runtime's library is ever imported."""

from importlib import import_module
from pathlib import Path
from typing import cast

from shared.core.bundle import MODEL_FILES, RuntimeName
from shared.core.ports import Runtime

_ADAPTERS: dict[RuntimeName, str] = {
    "onnx": "shared.adapters.onnx",
    "treelite": "shared.adapters.treelite",
    "sklearn": "shared.adapters.skops",
}


def load_runtime(name: RuntimeName, folder: Path) -> Runtime:
    """Load the model file of a verified bundle folder.

    Raises:
        ModelRefused: the file is not a model of this runtime, or holds what is not allowed.
    """
    return cast("Runtime", import_module(_ADAPTERS[name]).load(folder / MODEL_FILES[name]))
