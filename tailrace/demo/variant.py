"""The pipeline as the whole story wants it: the same file with a slower clock and a plan of several steps."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from shared.adapters.pipeline_yaml import FILE, Pipeline, find, load_pipeline, read_tree

Changes = Mapping[str, Mapping[str, Any]]
STORY: Changes = {
    # A plan takes a week or more of event time: its clock may not be faster.
    "retraining": {"every": "14d", "follow_ups": []},
    "rollout": {
        "shadow": {"time": "3d", "records": 1_000},
        "canary": [{"share": 0.25, "time": "2d", "records": 200}],
    },
}
# Of flights it is known when quality falls: in the middle of February below this goal, with the whole of its interval.
# So a missed goal asks, and no clock before it.
KNOWN: Mapping[str, Changes] = {
    "flights": {
        **STORY,
        "monitoring": {"goal": {"auc": 0.62}},
        "retraining": {"every": "56d", "follow_ups": []},
    },
}


def story_of(pipeline: Pipeline) -> Changes:
    """What the whole story changes in this pipeline."""
    return KNOWN.get(pipeline.spec.name, STORY)


def told_as(pipeline: Pipeline, changes: Changes, folder: Path) -> Pipeline:
    """A copy of a pipeline with some keys of its sections replaced; its hooks and files come along.

    Args:
        pipeline: whose.
        changes: keys by section.
        folder: where the copy goes, in a folder of the same name: programs and logs are called by it.

    Raises:
        UserError: the file or the folder cannot be read or written.
        Mistakes: the changes are none that a pipeline may have.
    """
    to = folder / pipeline.folder.name
    shutil.copytree(pipeline.folder, to, ignore=shutil.ignore_patterns("__pycache__"))
    tree = dict(read_tree(find(pipeline.folder)))
    for section, keys in changes.items():
        tree[section] = {**(tree.get(section) or {}), **keys}
    (to / FILE).write_bytes(msgspec.json.encode(tree))  # JSON is YAML
    return load_pipeline(to)
