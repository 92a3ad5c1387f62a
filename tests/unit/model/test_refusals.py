"""Spoilt bundles (F37, F38, B39, B40): each is refused by its own check, in words, and the good one stays loaded."""

import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from services.scorer.models import ModelStore
from shared.core.bundle import GOLDEN, MANIFEST, SIGNATURE, Golden, Manifest
from shared.core.errors import ModelRefused, UserError
from shared.core.records import BundleRef
from shared.runtime.clock import SystemClock
from shared.runtime.settings import ModelSettings, Settings
from shared.testing.metrics import RecordingMetrics
from tests.support.bundles import Kit
from tests.support.spec import make_spec

MODEL = "model.treelite"


def refusal_of(kit: Kit, ref: BundleRef) -> str:
    """What a store that has the good bundle says of this one."""
    store = kit.store()
    with pytest.raises(ModelRefused) as error:
        store.get(ref)
    assert store.ready() == set()
    assert store.refused() == {ref.version: str(error.value)}
    assert not (kit.state / "models" / ref.digest).exists() or "golden" in str(error.value) or ref != kit.ref
    return str(error.value)


def flip(path: Path, at: int) -> None:
    """Change one bit of a file."""
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def test_the_good_bundle_loads(kit: Kit) -> None:
    """Without a fault, the bundle loads, and a second store with the same cache needs the original no more (F35)."""
    assert kit.store().get(kit.ref).manifest.runtime == "treelite"
    kit.folder.rename(kit.folder.with_name("gone"))
    assert kit.store().get(kit.ref).ref == kit.ref


@pytest.mark.parametrize("name", [MODEL, GOLDEN, "reference.json", MANIFEST])
def test_f37_bit_flip(kit: Kit, name: str) -> None:
    """F37: one flipped bit in any file is found by digest, before the file is parsed."""
    flip(kit.folder / name, 100)
    assert refusal_of(kit, kit.ref).startswith("digest: ")


def test_f37_bit_flip_in_the_cache(kit: Kit) -> None:
    """F37: a verified copy that rots on disk is fetched anew, not used."""
    kit.store().get(kit.ref)
    flip(kit.state / "models" / kit.ref.digest / MODEL, 100)
    assert kit.store().get(kit.ref).ref == kit.ref


def test_f37_empty_files(kit: Kit) -> None:
    """F37, B39: a file of zero bytes is refused by its size."""
    (kit.folder / MODEL).write_bytes(b"")
    assert refusal_of(kit, kit.ref).startswith(f"size: {MODEL} has 0 bytes")


def test_f37_other_file(kit: Kit) -> None:
    """F37: another file of the same size under a listed name is found by digest."""
    size = (kit.folder / MODEL).stat().st_size
    (kit.folder / MODEL).write_bytes(os.urandom(size))
    assert refusal_of(kit, kit.ref).startswith(f"digest: {MODEL} hashes to")


def test_f37_wrong_digest(kit: Kit) -> None:
    """F37: a bundle that is whole and signed, but not the one announced, is refused."""
    assert refusal_of(kit, BundleRef(kit.ref.version, kit.ref.uri, "0" * 64)).startswith("digest: the manifest hashes")


def test_unsigned(kit: Kit) -> None:
    """A bundle without a signature is refused."""
    (kit.folder / SIGNATURE).unlink()
    assert refusal_of(kit, kit.ref) == "signature: the bundle is unsigned"


def test_wrong_signature(kit: Kit) -> None:
    """A signature by another key is refused, also where the digest fits."""
    (kit.folder / SIGNATURE).write_bytes(bytes(64))
    assert refusal_of(kit, kit.ref) == "signature: it is not by the key that is trusted here"


def test_b39_extra_file(kit: Kit) -> None:
    """B39: a file that the manifest does not list is refused, whatever it is."""
    (kit.folder / "requirements.txt").write_text("evil")
    assert "unknown files ('requirements.txt')" in refusal_of(kit, kit.ref)


def test_b39_symlink(kit: Kit) -> None:
    """B39: a link is refused even where it leads to the right bytes."""
    (kit.folder / MODEL).rename(kit.folder.parent / "elsewhere")
    (kit.folder / MODEL).symlink_to(kit.folder.parent / "elsewhere")
    assert refusal_of(kit, kit.ref).startswith(("size: ", "files: "))


def test_b39_pipe(kit: Kit) -> None:
    """B39: a pipe in place of a file neither blocks nor loads."""
    (kit.folder / SIGNATURE).unlink()
    os.mkfifo(kit.folder / SIGNATURE)
    assert refusal_of(kit, kit.ref) == "files: signature is no plain file"


@pytest.mark.parametrize("name", ["../../evil", "/etc/passwd", "model.pkl"])
def test_b39_path_escape(kit: Kit, name: str) -> None:
    """B39: a signed manifest that names a path, or a file of another kind, is refused before anything is opened."""
    manifest = kit.manifest()
    files = {name if key == MODEL else key: entry for key, entry in manifest.files.items()}
    ref = kit.seal(msgspec.structs.replace(manifest, files=files))
    assert refusal_of(kit, ref).startswith("files: the manifest lists")


def test_b39_too_big(kit: Kit) -> None:
    """B39: a model above the pipeline's limit is refused by the manifest alone."""
    small = msgspec.structs.replace(kit.spec, model=msgspec.structs.replace(kit.spec.model, max_bytes=1_000))
    with pytest.raises(ModelRefused, match=r"size: model.treelite has .* allowed are 1 to 1,000"):
        kit.store(spec=small).get(kit.ref)


@pytest.mark.parametrize("uri", ["s3://bucket/x", "file://host/etc", "ftp://127.0.0.1/x", "no address"])
def test_other_addresses(kit: Kit, uri: str) -> None:
    """An address that is neither a local file nor http is refused."""
    assert refusal_of(kit, BundleRef("local", uri, kit.ref.digest)).startswith("reference: ")


@pytest.mark.parametrize(("version", "digest"), [("../x", "0" * 64), ("1", "../../x"), ("1\n", "0" * 64)])
def test_b38_malformed_reference(kit: Kit, version: str, digest: str) -> None:
    """B38: a version or digest that is a path names no folder."""
    assert refusal_of(kit, BundleRef(version, kit.ref.uri, digest)).startswith("reference: ")


def test_b38_missing_version(kit: Kit) -> None:
    """B38: a bundle that is not there is refused."""
    assert "lacks manifest.json" in refusal_of(kit, BundleRef("9", kit.ref.uri + "x", "0" * 64))


Change = Callable[[Manifest], Manifest]
SPOILT: dict[str, tuple[str, Change]] = {
    "another model's": ("pipeline: ", lambda m: msgspec.structs.replace(m, pipeline="flights")),
    "another version": ("version: ", lambda m: msgspec.structs.replace(m, version="7")),
    "fewer columns": ("columns: the bundle has 3", lambda m: msgspec.structs.replace(m, columns=m.columns[:-1])),
    "more columns": (
        "columns: the bundle has 5",
        lambda m: msgspec.structs.replace(m, columns=(*m.columns, m.columns[0])),
    ),
    "order": ("columns: column 0 is", lambda m: msgspec.structs.replace(m, columns=m.columns[::-1])),
    "renamed": (
        "columns: column 0 is 'mass'",
        lambda m: msgspec.structs.replace(
            m, columns=(msgspec.structs.replace(m.columns[0], name="mass"), *m.columns[1:])
        ),
    ),
    "retyped": (
        "columns: weight is category",
        lambda m: msgspec.structs.replace(
            m, columns=(msgspec.structs.replace(m.columns[0], kind="category"), *m.columns[1:])
        ),
    ),
    "class order": ("classes: ", lambda m: msgspec.structs.replace(m, classes=m.classes[::-1])),
    "class missing": ("classes: ", lambda m: msgspec.structs.replace(m, classes=m.classes[:1])),
    "regressor": ("task: ", lambda m: msgspec.structs.replace(m, task="regression", classes=())),
    "tolerance": ("tolerance: ", lambda m: msgspec.structs.replace(m, tolerance=1.0)),
    "parity": ("parity: ", lambda m: msgspec.structs.replace(m, parity=0.1)),
    "no speed": ("measured: ", lambda m: msgspec.structs.replace(m, measured={})),
    "threshold": ("threshold: ", lambda m: msgspec.structs.replace(m, threshold=1.5)),
}


@pytest.mark.parametrize("case", sorted(SPOILT))
def test_b40_f38_signed_but_unfit(kit: Kit, case: str) -> None:
    """B40, F38: a bundle that is signed and whole but does not fit the pipeline is refused by the check that failed."""
    words, change = SPOILT[case]
    assert refusal_of(kit, kit.seal(change(kit.manifest()))).startswith(words)


def test_f38_columns_swapped_in_the_model(kit: Kit) -> None:
    """F38: a model whose inputs are in another order than its manifest says is caught by its golden scores."""
    golden = msgspec.json.decode((kit.folder / GOLDEN).read_bytes(), type=Golden)
    wrong = msgspec.structs.replace(golden, scores=[list(row)[::-1] for row in golden.scores])
    assert refusal_of(kit, kit.seal(files={GOLDEN: msgspec.json.encode(wrong)})).startswith(
        "scores: golden scores differ"
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda g: msgspec.structs.replace(g, records=(), lookups=(), scores=[]), "golden: 0 records"),
        (lambda g: msgspec.structs.replace(g, scores=[[1.0]] * len(g.records)), "golden: a score is not 2"),
        (lambda g: msgspec.structs.replace(g, scores=g.scores[1:]), "golden: "),
        (
            lambda g: msgspec.structs.replace(g, records=(msgspec.Raw(b"{}"), *g.records[1:])),
            "golden: the pipeline refuses",
        ),
    ],
)
def test_golden_records_that_prove_nothing(kit: Kit, change: Callable[[Golden], Golden], words: str) -> None:
    """Golden records must be there, complete, and records of this pipeline."""
    golden = msgspec.json.decode((kit.folder / GOLDEN).read_bytes(), type=Golden)
    assert refusal_of(kit, kit.seal(files={GOLDEN: msgspec.json.encode(change(golden))})).startswith(words)


def test_f38_slower(kit: Kit) -> None:
    """F38: a model 100 times slower than its manifest says is refused. Here the manifest is what was changed."""
    from services.scorer import child  # noqa: PLC0415 - its floor is lowered for this test only

    manifest = kit.manifest()
    ref = kit.seal(msgspec.structs.replace(manifest, measured={"treelite": {"1000": 1e-6}}))
    before, child._FLOOR = child._FLOOR, 1e-6
    try:
        assert refusal_of(kit, ref).startswith("speed: ")
    finally:
        child._FLOOR = before


def test_a_scorer_may_start_before_the_first_training(tmp_path: Path) -> None:
    """Where no key is named, whoever comes first makes the pair; a named key that is missing is an error."""
    spec, state = make_spec(), tmp_path / "state"
    store = ModelStore(spec, Settings(), RecordingMetrics(), SystemClock(), state=state)
    assert (store.ready(), store.refused()) == (set(), {})
    assert sorted(path.name for path in (state / "keys").iterdir()) == ["public.pem", "signing.pem"]
    named = Settings(models=ModelSettings(public_key_file=str(tmp_path / "none.pem")))
    with pytest.raises(UserError, match=r"none.pem: cannot read the public key .*TAILRACE_MODELS__PUBLIC_KEY_FILE"):
        ModelStore(spec, named, RecordingMetrics(), SystemClock(), state=state)


def test_loads_and_refusals_are_counted(kit: Kit) -> None:
    """Metrics name each attempt's end, and the check that refused."""
    metrics = RecordingMetrics()
    store = ModelStore(kit.spec, Settings(), metrics, SystemClock(), state=kit.state)
    store.get(kit.ref)
    with pytest.raises(ModelRefused):
        store.get(BundleRef("2", kit.ref.uri, "0" * 64))
    assert metrics.counted("tailrace_model_loads_total", "loaded") == 1
    assert metrics.counted("tailrace_model_refusals_total", "digest") == 1
    assert list(metrics.gauges) == [("tailrace_model_info", ("local", kit.ref.digest, "treelite"))]
    store.forget(set())
    assert (store.ready(), metrics.gauges) == (set(), {})


def test_a_refused_version_leaves_the_loaded_one(kit: Kit) -> None:
    """A version that is refused changes nothing about one that is loaded, and says why."""
    store = kit.store()
    good = store.get(kit.ref)
    bad = BundleRef("2", kit.ref.uri, "0" * 64)
    with pytest.raises(ModelRefused):
        store.get(bad)
    assert store.get(kit.ref) is good
    assert (store.ready(), set(store.refused())) == ({"local"}, {"2"})
