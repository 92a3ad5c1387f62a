"""How a monitor's proof bends the pipeline's own terms, so that windows close and labels of every kind occur. Days."""

from collections.abc import Mapping
from pathlib import Path
from shutil import copytree, ignore_patterns
from typing import Any

import msgspec

from shared.adapters.pipeline_yaml import Pipeline, load_pipeline, read_tree

HOUR, DAY = 3_600_000, 86_400_000  # ms
SPAN = 45 * DAY  # of the predictions' event time
TAIL = 37 * DAY  # after it: the last labels come 30 days later, and wait for `HOLD`
LATEST = 30 * DAY  # delay of a label
HORIZON, HOLD, WINDOW = 20 * DAY, 4 * DAY, DAY
MAX_STEP = 6 * HOUR
STEP = 6 * HOUR  # of event time between two looks at how far the label router is
PULSE = 3 * HOUR  # each partition has an observation at least so often
# Labels and observations reach the journal by different ways, at most two steps and a jump apart: what a label becomes
# is known beforehand where it keeps this far from every border.
MARGIN = DAY
GRAIN = (WINDOW + HORIZON + HOLD) // 64
_KEPT = "90d"


def bent(where: Pipeline, home: Path) -> Pipeline:
    """The pipeline in a folder of its own under `home`, with the terms of this proof and nothing personal in it.

    Raises:
        UserError: the changed file is refused.
    """
    folder = home / where.folder.name
    copytree(where.folder, folder, ignore=ignore_patterns("__pycache__"))
    tree = bend(read_tree(where.folder / "pipeline.yaml"))
    (folder / "pipeline.yaml").write_text(msgspec.json.encode(tree).decode(), encoding="utf-8")
    return load_pipeline(folder)


def bend(tree: Mapping[str, Any]) -> dict[str, Any]:
    """What stands in a pipeline's file, with these terms."""
    made = {name: value for name, value in tree.items() if name != "privacy"}  # the proof's books are by id and key
    terms = {"sample": 1.0, "window": "1d", "hold": "4d", "max_step": "6h"}
    topics = tree.get("topics", {})
    kept = {name: {**topics.get(name, {}), "retention": _KEPT} for name in ("journal", "predictions", "labels")}
    return made | {
        "labels": {**tree["labels"], "horizon": "20d"},
        "monitoring": {**tree.get("monitoring", {}), **terms},
        "topics": {**topics, **kept},
    }
