"""Whether a reference profile can be counted over and calibrated on: pure checks, each refusing in words.

A signed profile is of our own making; this is against our own mistakes, which would otherwise stop every worker that
reads it.
"""

import math
from collections.abc import Iterable
from itertools import pairwise

from shared.core.bundle import Manifest
from shared.core.bundle_checks import refusal
from shared.core.errors import ModelRefused
from shared.core.reference import FeatureProfile, Reference

MAX_PANES = 1_000


def check_reference(reference: Reference, manifest: Manifest) -> None:
    """Refuse a profile whose parts do not fit each other, or the bundle.

    Raises:
        ModelRefused: names the first part that does not.
    """
    columns = {column.name: column for column in manifest.columns}
    if strange := sorted(set(reference.features) - columns.keys()):
        raise _refused(strange[0], "no column of the bundle")
    for name, profile in reference.features.items():
        if set(profile.words) - set(columns[name].categories):
            raise _refused(name, "words that are none of its categories")
        if profile.words and len(profile.counts) != len(profile.words) + 1:
            raise _refused(name, f"{len(profile.counts)} counts for {len(profile.words)} words")
        _check_bins(name, profile)
    _check_bins("the scores", reference.scores)
    _check_labels(reference, manifest)
    _check_panes(reference)
    _check_baselines(reference)


def _check_labels(reference: Reference, manifest: Manifest) -> None:
    labels = reference.labels
    if labels == FeatureProfile():
        return
    if labels.words != manifest.classes:
        raise _refused("the labels", "other words than the bundle's classes")
    if labels.words and len(labels.counts) != len(labels.words):
        raise _refused("the labels", f"{len(labels.counts)} counts for {len(labels.words)} classes")
    if not labels.words and labels.edges != reference.scores.edges:
        raise _refused("the labels", "other bins than the scores")
    _check_bins("the labels", labels)


def _check_bins(name: str, profile: FeatureProfile) -> None:
    if not profile.words and len(profile.counts) != len(profile.edges) + 1:
        raise _refused(name, f"{len(profile.counts)} counts for {len(profile.edges)} edges")
    if any(low >= high for low, high in pairwise(profile.edges)) or not all(map(math.isfinite, profile.edges)):
        raise _refused(name, "edges that do not rise")
    if _negative((profile.counts, (profile.missing,), *profile.panes)):
        raise _refused(name, "negative counts")
    if any(len(pane) != len(profile.counts) for pane in profile.panes):
        raise _refused(name, "a pane with other bins")


def _check_panes(reference: Reference) -> None:
    lengths = {len(profile.panes) for profile in reference.features.values()}
    most = max((*lengths, len(reference.scores.panes), len(reference.labels.panes)))
    if len(lengths) > 1:
        raise _refused("the features", "unequal numbers of panes")
    if reference.pane_ms < 0 or (most > 0 and reference.pane_ms == 0) or most > MAX_PANES:
        raise _refused("the panes", f"{most} of {reference.pane_ms} ms")


def _check_baselines(reference: Reference) -> None:
    known = reference.baselines
    if known and [one.kind for one in known] != ["errors", "loss"]:
        raise _refused("the baselines", "others than of errors and of loss")
    for one in known:
        if min(one.labels, one.block) < 1 or one.deviation < 0 or one.spread < 1:
            raise _refused("the baselines", f"numbers of {one.kind} that cannot be")


def _negative(counts: Iterable[tuple[int, ...]]) -> bool:
    return any(min(one, default=0) < 0 for one in counts)


def _refused(name: str, what: str) -> ModelRefused:
    return refusal("profile", f"of {name}: {what}")
