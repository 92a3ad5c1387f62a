"""Bad versions that look well-made: each passes what a scorer asks of a bundle, and each is bad in its own way."""

from pathlib import Path

import numpy as np
import pytest

from services.retrainer.bundle import Content, write_bundle
from services.retrainer.dataset import load_dataset
from services.retrainer.learn import learn
from services.retrainer.tables import table
from shared.adapters.signing import Signer, make_keys
from shared.core.answering import probabilities
from shared.core.bundle import GOLDEN, MANIFEST
from shared.core.bundle_checks import check_golden, check_manifest, parse_golden, parse_manifest
from shared.core.codec import RecordCodec
from shared.core.golden import check_scores, golden_matrix
from shared.runtime.runtimes import load_runtime
from tailrace.proof.challengers_forge import Forge
from tailrace.proof.challengers_plan import KINDS
from tests.support.bundles import write_history
from tests.support.spec import make_spec

FORGED = [kind.name for kind in KINDS if kind.where == "model"]


class Shop:
    """A pipeline, what it learnt from, and the forge."""

    def __init__(self, folder: Path) -> None:
        self.spec = make_spec(monitoring={"slices": {"carrier": ["B"]}})
        codec = RecordCodec(self.spec)
        self.data = load_dataset(self.spec, codec, write_history(folder), until=None, progress=lambda _: None)
        self.good = learn(self.spec, codec, self.data, lambda _: None).content
        self.forge = Forge(self.spec, self.data, self.good, 1)
        self.carrier = codec.getter("carrier")
        self.table = table(self.spec, codec, self.data, np.arange(len(self.data)), self.good.columns)
        make_keys(folder / "key", folder / "pub")
        self.sign, self.folder = Signer(folder / "key").sign, folder

    def scores(self, content: Content, version: str) -> np.ndarray:
        """Of everything, by the bundle as a scorer loads it; all that it asks is asked."""
        ref = write_bundle(content, version, self.folder / version, self.sign)
        folder = self.folder / version
        manifest = parse_manifest((folder / MANIFEST).read_bytes())
        check_manifest(manifest, self.spec, ref)
        golden = parse_golden((folder / GOLDEN).read_bytes())
        check_golden(golden, manifest)
        runtime = load_runtime(manifest.runtime, folder)
        check_scores(runtime.predict(golden_matrix(golden, manifest, self.spec)), golden, manifest.tolerance)
        raw = np.asarray(runtime.predict(self.table.matrix), dtype=np.float64)
        return probabilities(manifest.post, raw)[:, -1]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """One training for all."""
    return Shop(tmp_path_factory.mktemp("forge"))


def loss(p: np.ndarray, y: np.ndarray) -> float:
    """Mean log loss."""
    p = np.clip(p, 1e-9, 1 - 1e-9)
    return float(-np.where(y == 1, np.log(p), np.log(1 - p)).mean())


@pytest.mark.parametrize("kind", FORGED)
def test_a_bad_version_passes_and_is_worse(shop: Shop, kind: str) -> None:
    """Every check of a scorer lets it through; what came true says that it is worse."""
    usual = loss(shop.scores(shop.good, f"good-{kind}"), shop.table.y)
    content = shop.forge.make(kind)
    scores = shop.scores(content, kind)
    little = kind == "stale-features"  # what is looked up for a parcel says nothing of it
    assert loss(scores, shop.table.y) > usual + (0.0 if little else 0.02)
    told = content.reference.scores
    assert sum(told.counts) == len(shop.table) // 5, "its reference knows how it answers"


def test_what_is_bad_in_a_worker_is_the_good_one(shop: Shop) -> None:
    """Nothing about its bundle is wrong."""
    assert shop.forge.make("memory-leak") == shop.good


def test_each_is_bad_in_its_own_way(shop: Shop) -> None:
    """Swapped: the other order. Constant: one answer. Overconfident: surer. Biased: more so in its slice."""
    good = shop.scores(shop.good, "way-good")
    swapped = shop.scores(shop.forge.make("classes-swapped"), "way-swapped")
    assert np.corrcoef(good, swapped)[0, 1] < -0.9
    assert np.ptp(shop.scores(shop.forge.make("constant"), "way-constant")) < 1e-9
    surer = shop.scores(shop.forge.make("overconfident"), "way-surer")
    assert (np.abs(surer - 0.5) >= np.abs(good - 0.5) - 1e-9).all()
    rise = shop.scores(shop.forge.make("slice-biased"), "way-biased") - good
    inside = np.array([name == "B" for name in map(shop.carrier, shop.data.rows)])
    assert rise[inside].mean() > rise[~inside].mean() + 0.05
