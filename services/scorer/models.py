"""The models of one worker: fetched, verified, tried in a child process, loaded, and tried again; or refused in words.

A version that is refused or not there changes nothing about those that are loaded.
"""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from services.scorer.child import try_in_child
from shared.adapters.signing import Verifier, make_keys
from shared.core.bundle import GOLDEN, Column, Golden, Manifest
from shared.core.bundle_checks import check_golden, check_manifest, check_ref, code_of, parse_golden, parse_manifest
from shared.core.errors import ModelRefused, Unavailable
from shared.core.golden import check_scores, golden_matrix
from shared.core.metrics import Metrics
from shared.core.pipeline import PipelineSpec
from shared.core.ports import Clock, Runtime
from shared.core.records import BundleRef
from shared.runtime.fetch import Fetcher
from shared.runtime.model_files import model_cache, public_key, signing_key, state_folder
from shared.runtime.runtimes import load_runtime
from shared.runtime.settings import Settings

_AGAIN = 30.0  # seconds after which a refused bundle may be looked at again: the copy may have been mended
_SOON = 2.0  # seconds between tries to fetch one that somebody waits for


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model that may score. `columns` are those of its matrix, in order."""

    ref: BundleRef
    manifest: Manifest
    runtime: Runtime
    columns: tuple[Column, ...]


class ModelStore:
    """Loads bundles by reference; thread-safe.

    Args:
        spec: the pipeline that the models must fit.
        settings: trust, cache, registry and time-out.
        metrics: loads and refusals are counted here.
        clock: for deadlines.
        state: the state folder; where None, `TAILRACE_STATE` says it.

    Raises:
        UserError: the public key is missing; names the file and the setting.
    """

    def __init__(
        self, spec: PipelineSpec, settings: Settings, metrics: Metrics, clock: Clock, *, state: Path | None = None
    ) -> None:
        where = state_folder() if state is None else state
        self._spec, self._metrics, self._clock = spec, metrics, clock
        self._timeout = settings.models.timeout
        if not settings.models.public_key_file and not settings.models.signing_key_file:
            # The embedded stack: a scorer may well start before the first training makes the pair.
            make_keys(signing_key(settings.models, where), public_key(settings.models, where))
        self._verifier = Verifier(public_key(settings.models, where))
        self._fetcher = Fetcher(model_cache(settings.models, where), settings.mlflow, clock, time.sleep)
        self._changed = threading.Condition()
        self._loaded: dict[BundleRef, LoadedModel] = {}
        self._refused: dict[BundleRef, tuple[str, float]] = {}
        self._failed: dict[BundleRef, tuple[str, float]] = {}
        self._busy: set[BundleRef] = set()

    def ready(self) -> set[str]:
        """Versions that can score now."""
        with self._changed:
            return {ref.version for ref in self._loaded}

    def refused(self) -> Mapping[str, str]:
        """Why versions cannot score, in words."""
        with self._changed:
            return {ref.version: why for ref, (why, _) in self._refused.items()}

    def prepare(self, ref: BundleRef) -> None:
        """Begin to load a version in the background; returns at once, and does nothing for one that is known."""
        with self._changed:
            known = ref in self._loaded or ref in self._busy
            if known or (ref in self._refused and self._clock.monotonic() - self._refused[ref][1] < _AGAIN):
                return
            self._busy.add(ref)
        threading.Thread(target=self._work, args=(ref,), name=f"model-{ref.version}", daemon=True).start()

    def get(self, ref: BundleRef, timeout: float | None = None) -> LoadedModel:
        """The model of a reference, loading it if need be.

        Args:
            ref: as announced.
            timeout: seconds to wait at most; None: as set by `models.timeout`. The loading itself goes on.

        Raises:
            ModelRefused: a check failed; says which.
            Unavailable: it could not be fetched, or not in this time.
        """
        wait = self._timeout if timeout is None else timeout
        with self._changed:
            if ref in self._loaded:
                return self._loaded[ref]
        self.prepare(ref)
        with self._changed:
            self._changed.wait_for(lambda: ref not in self._busy, wait)
            if ref in self._loaded:
                return self._loaded[ref]
            if ref in self._busy:
                raise Unavailable(f"version {ref.version} is still being loaded after {wait:g} s")
            if ref in self._refused:
                raise ModelRefused(self._refused[ref][0])
            raise Unavailable(self._failed.get(ref, (f"version {ref.version} could not be loaded", 0.0))[0])

    def lacks(self, ref: BundleRef) -> str:
        """Why a version cannot score now, in words; "" where it can. Begins to load it, or tries again now and then."""
        with self._changed:
            failed = self._failed.get(ref)
        if failed is None or self._clock.monotonic() - failed[1] > _SOON:
            self.prepare(ref)
        with self._changed:
            if ref in self._loaded:
                return ""
            why = self._refused.get(ref) or self._failed.get(ref)
        return why[0] if why else f"version {ref.version} is being loaded"

    def forget(self, keep: set[BundleRef]) -> None:
        """Free every loaded model but these."""
        with self._changed:
            for ref in set(self._loaded) - keep:
                model = self._loaded.pop(ref)
                self._metrics.gauge("tailrace_model_info", float("nan"), **_labels(model))

    def _work(self, ref: BundleRef) -> None:
        model: LoadedModel | None = None
        why = failure = ""
        try:
            model = self._load(ref)
        except ModelRefused as error:
            why = str(error)
        except Exception as error:  # noqa: BLE001 - a full disk or a bug here must not end the worker: it keeps its model
            failure = f"version {ref.version}: {error}"
        with self._changed:
            self._failed.pop(ref, None)
            if model is not None:
                self._loaded[ref] = model
                self._refused.pop(ref, None)
                self._metrics.gauge("tailrace_model_info", 1, **_labels(model))
            elif why:
                self._refused[ref] = (why, self._clock.monotonic())
                self._metrics.count("tailrace_model_refusals_total", reason=code_of(ModelRefused(why)))
            else:
                self._failed[ref] = (failure, self._clock.monotonic())
            result = "loaded" if model is not None else "refused" if why else "failed"
            self._metrics.count("tailrace_model_loads_total", result=result)
            self._busy.discard(ref)
            self._changed.notify_all()

    def _load(self, ref: BundleRef) -> LoadedModel:
        check_ref(ref)
        deadline = self._clock.monotonic() + self._timeout

        def check(manifest: bytes, signature: bytes) -> Manifest:
            self._verifier.verify(manifest, signature)
            parsed = parse_manifest(manifest)
            check_manifest(parsed, self._spec, ref)
            return parsed

        folder, manifest = self._fetcher.fetch(ref, check, self._timeout)
        golden = self._golden(folder, manifest)
        matrix = golden_matrix(golden, manifest, self._spec)
        left = max(1.0, deadline - self._clock.monotonic())
        try_in_child(folder, manifest, golden, matrix, left)
        runtime = load_runtime(manifest.runtime, folder)
        check_scores(runtime.predict(matrix), golden, manifest.tolerance)
        return LoadedModel(ref, manifest, runtime, manifest.columns)

    def _golden(self, folder: Path, manifest: Manifest) -> Golden:
        golden = parse_golden((folder / GOLDEN).read_bytes())
        check_golden(golden, manifest)
        return golden


def _labels(model: LoadedModel) -> dict[str, str]:
    return {"version": model.ref.version, "digest": model.ref.digest, "runtime": model.manifest.runtime}
