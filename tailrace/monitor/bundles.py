"""What each version was at its training: from its signed bundle, as announced on `models`. What fails is said."""

import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from services.monitor.analyst.subject import Subject
from services.monitor.bundles import bundle_reader
from shared.core.errors import TailraceError
from shared.core.pipeline import PipelineSpec
from shared.core.records import BundleRef, Rollout
from shared.runtime.clock import SystemClock
from shared.runtime.fetch import Fetcher
from shared.runtime.model_files import model_cache, public_key, state_folder
from shared.runtime.settings import Settings

if TYPE_CHECKING:
    from shared.core.bundle import Manifest


class Bundles:
    """Fetches the bundle of each version once.

    Args:
        spec: the pipeline that they must fit.
        settings: where they are kept, and by which key they are signed.
        state: the state folder; None: that of this process.
    """

    def __init__(self, spec: PipelineSpec, settings: Settings, state: Path | None = None) -> None:
        models, state = settings.models, state or state_folder()
        fetcher = Fetcher(model_cache(models, state), settings.mlflow, SystemClock(), time.sleep)
        self._read = bundle_reader(spec, fetcher, public_key(models, state), models.timeout)
        self.manifests: dict[str, Manifest] = {}
        self.subjects: dict[str, Subject] = {}
        self.refused: dict[str, str] = {}
        """Versions of which nothing is known, and why."""

    def want(self, versions: Iterable[str], rollouts: Iterable[Rollout]) -> None:
        """Have what is known of these versions ready; nothing raises, as a picture without a reference is one too."""
        refs = _refs(rollouts)
        for version in versions:
            if version in self.subjects:
                continue
            ref = refs.get(version)
            if ref is None:
                self.refused[version] = "nobody announced it"
                continue
            try:
                manifest, reference = self._read(ref)
            except TailraceError as error:
                self.refused[version] = str(error)
                continue
            self.manifests[version] = manifest
            self.subjects[version] = Subject(version, reference, dict(manifest.metrics))
            self.refused.pop(version, None)


def _refs(rollouts: Iterable[Rollout]) -> dict[str, BundleRef]:
    """The bundle of each version; that of the highest epoch which names it."""
    ordered = sorted(rollouts, key=lambda rollout: rollout.epoch)
    named = [ref for r in ordered for ref in (r.champion, r.challenger) if ref is not None]
    return {ref.version: ref for ref in named}
