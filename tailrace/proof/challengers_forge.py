"""Makes the versions of a proof of challengers: an older champion, a good refit, and bad ones that look well-made.

Each bad version is signed, whole, faithful to its golden records and within every check of a scorer. Its reference
says what its own scores were like when it was judged, as that of a version would that a gate let through.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from services.retrainer.bundle import Content, choose_golden, make_golden, write_bundle
from services.retrainer.dataset import Dataset, Files, load_dataset, take
from services.retrainer.export import export
from services.retrainer.folds import horizon_ms
from services.retrainer.learn import learn, make_probes
from services.retrainer.tables import Table, table
from services.retrainer.train import fit, make_estimator, predict
from shared.adapters.pipeline_yaml import Pipeline
from shared.adapters.signing import Signer, make_keys
from shared.core.answering import Curve, Post, mapped
from shared.core.codec import RecordCodec
from shared.core.errors import UserError
from shared.core.features import Floats
from shared.core.pipeline import PipelineSpec
from shared.core.records import BundleRef
from shared.core.reference import profile
from shared.runtime.model_files import public_key, signing_key
from shared.runtime.settings import Settings
from tailrace.proof.challengers_plan import GOOD, Request
from tailrace.proof.material import Pool
from tailrace.proof.scene import Say

CHAMPION = "1"
SURER, WRONG, THOUSAND = 8.0, 0.5, 1_000.0
DAY_MS = 86_400_000
Targets = NDArray[np.float64]


class Forge:
    """Makes bad versions out of what a good one has learnt from.

    Args:
        spec: the pipeline, a binary one.
        data: all that the good one learnt from, in order of event time.
        good: the good one.
        seed: of what is drawn.
    """

    def __init__(self, spec: PipelineSpec, data: Dataset, good: Content, seed: int) -> None:
        self._spec, self._data, self._good = spec, data, good
        self._codec, self._dice = RecordCodec(spec), np.random.default_rng(seed)
        self._table: Table = table(spec, self._codec, data, np.arange(len(data)), good.columns)
        self._makers: dict[str, Callable[[], Content]] = {
            "classes-swapped": lambda: self._learnt(y=1.0 - self._table.y),
            "shuffled-labels": lambda: self._learnt(y=self._dice.permutation(self._table.y)),
            "slice-biased": lambda: self._learnt(y=self._biased()),
            "wrong-units": lambda: self._learnt(matrix=self._thousandths()),
            "stale-features": lambda: self._learnt(matrix=self._stale()),
            "overconfident": lambda: self._mapped(Curve(a=SURER)),
            "constant": lambda: self._mapped(Curve(a=0.0, b=_logit(float(self._table.y.mean())))),
        }

    def make(self, kind: str) -> Content:
        """A version of this kind; one that is bad only in its worker is the good one itself."""
        maker = self._makers.get(kind)
        return self._good if maker is None else maker()

    def _learnt(self, *, matrix: Floats | None = None, y: Targets | None = None) -> Content:
        """The declared estimator, on other features or other labels."""
        spec, made = self._spec, self._table
        seen = made.matrix if matrix is None else matrix
        estimator = fit(make_estimator(spec, made.columns), seen, made.y if y is None else y, seed=spec.model.seed)
        probes, _ = make_probes(spec, estimator, made)
        chosen = export(
            estimator, (self._good.chosen.runtime,), probes, predict(estimator, probes),
            tolerance=spec.model.tolerance, max_bytes=spec.model.max_bytes,
        ).chosen  # fmt: skip
        content = replace(self._good, chosen=chosen, golden=self._golden(estimator))
        return self._judged(content, predict(estimator, seen)[:, -1])

    def _mapped(self, curve: Curve) -> Content:
        """The good model, with a calibration that makes it bad."""
        spec, made = self._spec, self._table
        estimator = fit(make_estimator(spec, made.columns), made.matrix, made.y, seed=spec.model.seed)
        raw = predict(estimator, made.matrix)[:, -1]
        return self._judged(replace(self._good, post=Post(calibration=(curve,))), mapped(curve, raw))

    def _judged(self, content: Content, scores: Targets) -> Content:
        """With a reference that says how it answers: what looks at the scores alone finds them as it was told."""
        held = max(len(scores) // 5, 1)
        told = profile(content.columns, self._table.matrix[-held:], scores[-held:].tolist(), ()).scores
        return replace(content, reference=msgspec.structs.replace(content.reference, scores=told, baselines=()))

    def _golden(self, estimator: Any) -> Any:
        made = self._table
        places = choose_golden(np.isnan(made.matrix).sum(axis=1).tolist())
        rows = made.index[places].tolist()
        found = take(self._data.found, rows)
        return make_golden(
            self._spec, [self._data.rows[i] for i in rows], found, predict(estimator, made.matrix[places])
        )

    def _biased(self) -> Targets:
        """Half of a slice is said to be positive, whatever it was."""
        hit = self._slice() & (self._dice.random(len(self._table)) < WRONG)
        return np.where(hit, 1.0, self._table.y)

    def _slice(self) -> NDArray[np.bool_]:
        """The first declared slice; without one, records above the middle of the first number."""
        cuts = self._spec.monitoring.slices
        for j, feature in enumerate(self._spec.features):
            cut = cuts.get(feature.source) if not feature.lookup else None
            column, known = self._table.matrix[:, j], self._table.columns[j].categories
            if cut and cut[0] in known:
                return np.asarray(column == known.index(str(cut[0])), dtype=np.bool_)
            if cut and not known:
                return np.asarray(column >= float(cut[0]), dtype=np.bool_)
        j = self._numbers()[0]
        return np.asarray(self._table.matrix[:, j] > np.nanmedian(self._table.matrix[:, j]), dtype=np.bool_)

    def _thousandths(self) -> Floats:
        numbers, weights = self._numbers(), self._good.reference.importance
        worst = max(numbers, key=lambda j: weights.get(self._table.columns[j].name, 0.0))
        matrix = self._table.matrix.copy()
        matrix[:, worst] *= THOUSAND
        return matrix

    def _stale(self) -> Floats:
        """Each record with what was looked up a day before it; without look-ups with the numbers of then."""
        looked = [j for j, feature in enumerate(self._spec.features) if feature.lookup]
        times, matrix = self._table.times, self._table.matrix.copy()
        before = np.maximum(np.searchsorted(times, times - DAY_MS), 0)
        columns = looked or self._numbers()
        matrix[:, columns] = self._table.matrix[before][:, columns]
        return matrix

    def _numbers(self) -> list[int]:
        found = [j for j, column in enumerate(self._table.columns) if column.kind == "numeric"]
        if not found:
            raise UserError(f"{self._spec.name} has no number among its features", remedy="try another pipeline")
        return found


def versions_of(request: Request) -> dict[str, str]:
    """What each version is, by its number: the champion is "1", the good refit "2", then the bad ones."""
    return {str(n): kind for n, kind in enumerate((GOOD, *(kind.name for kind in request.kinds)), int(CHAMPION) + 1)}


def trainer(request: Request, say: Say) -> Callable[..., dict[str, BundleRef]]:
    """What writes all versions of a run; see `tailrace.proof.scene.Train`."""

    def train(
        pipeline: Pipeline, settings: Settings, files: Files, pool: Pool, home: Path, state: Path
    ) -> dict[str, BundleRef]:
        spec = pipeline.spec
        if spec.task != "binary":
            raise UserError(f"{spec.name} is a {spec.task}", remedy="name a pipeline with two classes")
        make_keys(signing_key(settings.models, state), public_key(settings.models, state))
        sign, codec = Signer(signing_key(settings.models, state)).sign, RecordCodec(spec)
        data = load_dataset(spec, codec, files, until=pool.start, progress=lambda _: None)
        good = learn(spec, codec, data, lambda _: None).content
        older = learn(spec, codec, _before(data, pool.older - horizon_ms(spec)), lambda _: None).content
        forge = Forge(spec, data, good, request.seed)
        refs = {CHAMPION: write_bundle(older, CHAMPION, home / "bundles" / CHAMPION, sign)}
        for version, kind in versions_of(request).items():
            say(f"version {version}: {kind}")
            refs[version] = write_bundle(forge.make(kind), version, home / "bundles" / version, sign)
        return refs

    return train


def _before(data: Dataset, until: int) -> Dataset:
    """The records before an event time (ms)."""
    n = int(np.searchsorted(data.times, until))
    places = range(n)
    return replace(
        data, rows=data.rows[:n], found=take(data.found, places), y=data.y[:n], times=data.times[:n],
        known=data.known[:n],
    )  # fmt: skip


def _logit(share: float) -> float:
    return float(np.log(share / (1.0 - share)))
