"""A small pipeline with made-up parcels."""

from typing import Any

from shared.core.pipeline import PipelineSpec
from shared.core.pipeline_file import decode

FIELDS = {
    "id": {"type": "string"},
    "depot": {"type": "string"},
    "at": {"type": "timestamp"},
    "weight": {"type": "number"},
    "stops": {"type": "integer", "required": False},
    "carrier": {"type": "string"},
    "phone": {"type": "string", "required": False},
}
FEATURES = [
    {"name": "weight"},
    {"name": "stops"},
    {"name": "carrier", "kind": "category"},
    {"name": "wind", "lookup": "weather"},
]


def make_spec(task: str = "binary", **changes: Any) -> PipelineSpec:
    """The pipeline; `changes` replace whole sections."""
    return decode(make_tree(task) | changes, "parcels")


def make_tree(task: str = "binary") -> dict[str, Any]:
    """What stands in the pipeline's file."""
    classes = {"binary": ["on_time", "late"], "multiclass": ["early", "on_time", "late"], "regression": []}[task]
    forest = "sklearn.ensemble.HistGradientBoosting" + ("Regressor" if task == "regression" else "Classifier")
    return {
        "schema": 1,
        "name": "parcels",
        "task": task,
        "record": {"id": "id", "key": "depot", "event_time": "at", "fields": FIELDS},
        "lookups": {"weather": {"key": "depot", "fields": {"wind": "number"}, "max_age": "12h", "keep": "2d"}},
        "features": FEATURES,
        "labels": {"horizon": "6h", "classes": classes, **({"positive": "late"} if task == "binary" else {})},
        "model": {"estimator": forest, "parameters": {"max_iter": 10, "early_stopping": False}},
        "privacy": {"drop": ["phone"]},
    }
