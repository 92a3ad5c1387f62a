"""A reference profile whose parts do not fit is refused by name, whoever signed it; what trainings make is good."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from services.monitor.bundles import bundle_reader
from shared.core.baseline import Baseline
from shared.core.bundle import REFERENCE
from shared.core.errors import ModelRefused
from shared.core.reference import FeatureProfile, Reference
from shared.core.reference_checks import check_reference
from tests.support.bundles import Kit, make_kit

BAD = Baseline("errors", 0, 25, 0.1, 0.3)


def reference(kit: Kit) -> Reference:
    """Of a bundle."""
    return msgspec.json.decode((kit.folder / REFERENCE).read_bytes(), type=Reference)


@pytest.mark.parametrize(
    ("feature", "changes", "words"),
    [
        ("weight", {"counts": (1, 2)}, "of weight: 2 counts for 9 edges"),
        ("weight", {"edges": (1.0,) * 9}, "of weight: edges that do not rise"),
        ("weight", {"missing": -1}, "of weight: negative counts"),
        ("weight", {"panes": ((1, 2),)}, "of weight: a pane with other bins"),
        ("weight", {"panes": ()}, "of the features: unequal numbers of panes"),
        ("carrier", {"words": ("Z",), "counts": (1, 2)}, "of carrier: words that are none of its categories"),
        ("carrier", {"counts": (1, 2)}, "of carrier: 2 counts for 4 words"),
        ("length", {}, "of length: no column of the bundle"),
    ],
)
def test_a_feature_that_does_not_fit(trained: Kit, feature: str, changes: dict[str, Any], words: str) -> None:
    """Counts, edges, words and panes belong together."""
    known = reference(trained)
    spoilt = msgspec.structs.replace(known.features.get(feature, FeatureProfile()), **changes)
    whole = msgspec.structs.replace(known, features={**known.features, feature: spoilt})
    with pytest.raises(ModelRefused, match=f"profile: {words}"):
        check_reference(whole, trained.manifest())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"scores": FeatureProfile()}, "of the scores: 0 counts for 0 edges"),
        ({"labels": FeatureProfile(words=("late",), counts=(1,))}, "of the labels: other words"),
        ({"labels": FeatureProfile(words=("on_time", "late"), counts=(1,))}, "of the labels: 1 counts for 2 classes"),
        ({"pane_ms": 0}, "of the panes: .* of 0 ms"),
        ({"baselines": (BAD,)}, "of the baselines: others than"),
        ({"baselines": (BAD, msgspec.structs.replace(BAD, kind="loss"))}, "of the baselines: numbers of errors"),
    ],
)
def test_a_whole_that_does_not_fit(trained: Kit, changes: dict[str, Any], words: str) -> None:
    """Scores, labels, panes and baselines too."""
    with pytest.raises(ModelRefused, match=f"profile: {words}"):
        check_reference(msgspec.structs.replace(reference(trained), **changes), trained.manifest())


def test_the_reader_of_bundles_looks(kit: Kit) -> None:
    """A profile that is rightly signed and does not fit is refused where bundles are read; a good one is not."""
    good = reference(kit)

    class Folder:
        """Brings the bundle from where it stands."""

        def fetch(self, _ref: Any, check: Any, _timeout: float) -> Any:
            """See `Fetcher`."""
            return kit.folder, check(
                (kit.folder / "manifest.json").read_bytes(), (kit.folder / "signature").read_bytes()
            )

    fetcher: Any = Folder()
    read = bundle_reader(kit.spec, fetcher, kit.state / "keys" / "public.pem", 1.0)
    assert read(kit.ref)[1] == good
    ref = kit.seal(files={REFERENCE: msgspec.json.encode(msgspec.structs.replace(good, pane_ms=0))})
    with pytest.raises(ModelRefused, match="profile: of the panes"):
        read(ref)


@pytest.mark.parametrize("task", ["multiclass", "regression"])
def test_what_trainings_make_is_good(tmp_path: Path, task: str) -> None:
    """Of every task; and what was made before there were panes."""
    kit = make_kit(tmp_path, task)
    known = reference(kit)
    check_reference(known, kit.manifest())
    bare = {name: msgspec.structs.replace(one, panes=()) for name, one in known.features.items()}
    old = Reference(known.n, bare, msgspec.structs.replace(known.scores, panes=()), known.base_rate)
    check_reference(old, kit.manifest())
