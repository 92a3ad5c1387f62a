"""A small pipeline with made-up parcels, its history on disk, and bundles to be spoilt."""

import csv
import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from services.retrainer.dataset import Files
from services.retrainer.main import train
from services.scorer.models import ModelStore
from shared.adapters.signing import Signer
from shared.core.bundle import MANIFEST, MODEL_FILES, SIGNATURE, FileEntry, Manifest, RuntimeName, encode_manifest
from shared.core.pipeline import PipelineSpec
from shared.core.records import BundleRef
from shared.runtime.clock import SystemClock
from shared.runtime.settings import MlflowSettings, ModelSettings, Settings
from shared.testing.metrics import RecordingMetrics
from tests.support.spec import make_spec

HOUR = 3_600_000
START = 1_700_000_000_000


def write_history(folder: Path, task: str = "binary", n: int = 600, seed: int = 7) -> Files:
    """Parcels of four carriers, one an hour, with a weather update every four hours; labels two hours later."""
    rng = np.random.default_rng(seed)
    records, updates, labels = [], [], []
    for i in range(n):
        at, carrier, weight = START + i * HOUR, "ABCD"[int(rng.integers(4))], float(rng.normal(5, 2))
        wind = float(rng.uniform(0, 30))
        if i % 4 == 0:
            updates += [_row(group="weather", entity=d, time=at, values={"wind": wind}) for d in ("north", "south")]
        record: dict[str, Any] = {
            "id": f"p{i}",
            "depot": ("north", "south")[i % 2],
            "at": at,
            "weight": round(weight, 2),
        }
        stops = int(rng.integers(1, 9)) if i % 5 else None
        records.append(record | {"stops": stops, "carrier": carrier, "phone": "+49 30 1234567"})
        score = weight - 5 + 2 * (carrier == "B") + rng.normal()
        label: Any = score if task == "regression" else "late" if score > 0 else "on_time"
        if task == "multiclass":
            label = "early" if score < -2 else label
        labels.append(_row(id=f"p{i}", value=label, time=at + 2 * HOUR))
    files = Files(folder / "records.csv", folder / "features.jsonl", folder / "labels.jsonl")
    with files.records.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(records[0]))
        writer.writeheader()
        writer.writerows(records)
    assert files.features is not None
    assert files.labels is not None
    files.features.write_text("".join(updates))
    files.labels.write_text("".join(labels))
    return files


def _row(**values: Any) -> str:
    return json.dumps(values) + "\n"


@dataclass(frozen=True, slots=True)
class HasSpec:
    """A pipeline without a folder."""

    spec: PipelineSpec


@dataclass(frozen=True, slots=True)
class Kit:
    """A trained bundle, and all that a test needs to spoil it and to load it."""

    spec: PipelineSpec
    folder: Path
    state: Path
    ref: BundleRef

    def manifest(self) -> Manifest:
        """Of the bundle."""
        return msgspec.json.decode((self.folder / MANIFEST).read_bytes(), type=Manifest)

    def seal(self, manifest: Manifest | None = None, files: Mapping[str, bytes] | None = None) -> BundleRef:
        """Write files and manifest and sign them again, as an attacker with the signing key, or our own bug, would."""
        known = self.manifest() if manifest is None else manifest
        for name, content in (files or {}).items():
            (self.folder / name).write_bytes(content)
            entry = FileEntry(hashlib.sha256(content).hexdigest(), len(content))
            known = msgspec.structs.replace(known, files={**known.files, name: entry})
        content = encode_manifest(known)
        (self.folder / MANIFEST).write_bytes(content)
        (self.folder / SIGNATURE).write_bytes(Signer(self.state / "keys" / "signing.pem").sign(content))
        return BundleRef(self.ref.version, self.ref.uri, hashlib.sha256(content).hexdigest())

    def with_model(self, runtime: RuntimeName, content: bytes) -> BundleRef:
        """The same bundle with another model in it, signed again."""
        manifest = self.manifest()
        old = MODEL_FILES[manifest.runtime]
        (self.folder / old).unlink()
        speeds = {runtime: {"1000": 10.0}}
        files = {name: entry for name, entry in manifest.files.items() if name != old}
        changed = msgspec.structs.replace(manifest, runtime=runtime, measured=speeds, files=files)
        return self.seal(changed, {MODEL_FILES[runtime]: content})

    def store(self, mlflow: str = "", seconds: float = 30.0, spec: PipelineSpec | None = None) -> ModelStore:
        """A store with an empty cache of its own state folder."""
        settings = Settings(models=ModelSettings(timeout=seconds))
        if mlflow:
            settings = msgspec.structs.replace(settings, mlflow=MlflowSettings(url=mlflow))
        return self.store_with(settings, spec)

    def store_with(self, settings: Settings, spec: PipelineSpec | None = None) -> ModelStore:
        """A store with these settings."""
        return ModelStore(spec or self.spec, settings, RecordingMetrics(), SystemClock(), state=self.state)


def make_kit(folder: Path, task: str = "binary", spec: PipelineSpec | None = None) -> Kit:
    """Train the pipeline in this folder."""
    wanted = spec or make_spec(task)
    history = folder / "history"
    history.mkdir(parents=True)
    files = write_history(history, task)
    state = folder / "state"
    report = train(HasSpec(wanted), Settings(), lambda _: None, files=files, out=folder / "bundle", state=state)
    return Kit(wanted, folder / "bundle", state, report.ref)


def copied(kit: Kit, folder: Path) -> Kit:
    """A kit of its own to spoil."""
    shutil.copytree(kit.folder, folder / "bundle")
    shutil.copytree(kit.state / "keys", folder / "state" / "keys")
    ref = BundleRef(kit.ref.version, (folder / "bundle").absolute().as_uri(), kit.ref.digest)
    return replace(kit, folder=folder / "bundle", state=folder / "state", ref=ref)
