"""One observation told: its version, its score made again, its contributions. What cannot be had is said in words."""

from pathlib import Path
from types import TracebackType

from shared.core.errors import TailraceError
from shared.core.features import Floats
from shared.core.pipeline import PipelineSpec
from shared.core.records import BundleRef, Observation
from shared.runtime.settings import Settings
from tailrace.why.around import Around
from tailrace.why.bundle import Bundle, open_bundle, place_of
from tailrace.why.entries import Say
from tailrace.why.inputs import inputs_of
from tailrace.why.run import run_data
from tailrace.why.terms import Again, Beside, Contributions, Data, Model, Place, Why

LINEAR = "sklearn.linear_model."


def told(
    spec: PipelineSpec, settings: Settings, place: Place, found: Around, ref: BundleRef | None, say: Say, *,
    contributions: bool, state: Path | None,
) -> Why:  # fmt: skip
    """Tell all that can be known of an observation; nothing raises, for the rest is worth as much without it.

    Args:
        spec: the pipeline.
        settings: where the bundles and MLflow are.
        place: of the observation.
        found: the observation, and what else is said of its record.
        ref: the bundle of its version; None where nobody announced it.
        say: told what takes long.
        contributions: for trees too.
        state: the state folder; None: that of this process.
    """
    seen, unknown = found.observation, Unknown()
    if found.again:
        unknown.lines.append(f"the record was scored {found.again + 1} times; this is one of them")
    bundle = _bundle(spec, settings, ref, seen, state, unknown)
    matrix = None if bundle is None else _matrix(bundle, seen, unknown)
    again = parts = None
    if bundle is not None and matrix is not None:
        again = _again(bundle, seen, matrix, unknown)
        if contributions or spec.model.estimator.startswith(LINEAR):
            parts = _parts(bundle, settings, seen, matrix, say, unknown)
    columns, importance = (bundle.manifest.columns, bundle.importance) if bundle else ((), {})
    return Why(
        pipeline=spec.name,
        place=place,
        prediction=seen.prediction,
        model=_model(seen, ref, bundle, settings, unknown),
        inputs=inputs_of(spec, seen, columns, None if matrix is None else matrix[0], importance),
        contributions=parts,
        label=found.label,
        again=again,
        shadows=tuple(Beside(s.prediction.version, s.prediction.score, s.prediction.label) for s in found.shadows),
        unknown=tuple(unknown.lines),
    )


class Unknown:
    """Collects what could not be had; as a context, with the reason that was raised inside."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._what = ""

    def without(self, what: str) -> "Unknown":
        """What is missing if this fails."""
        self._what = what
        return self

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> bool:
        """Note our own errors; whatever else is raised is a bug, and passes."""
        if not isinstance(error, TailraceError):
            return False
        self.lines.append(f"{self._what}: {error}")
        return True


def _bundle(
    spec: PipelineSpec, settings: Settings, ref: BundleRef | None, seen: Observation, state: Path | None,
    unknown: Unknown,
) -> Bundle | None:  # fmt: skip
    if ref is None:
        unknown.lines.append(f"the bundle: version {seen.prediction.version} does not stand in models")
        return None
    with unknown.without("the bundle"):
        return open_bundle(spec, settings, ref, state)
    return None


def _matrix(bundle: Bundle, seen: Observation, unknown: Unknown) -> Floats | None:
    with unknown.without("what the model saw"):
        return bundle.matrix(seen)
    return None


def _again(bundle: Bundle, seen: Observation, matrix: Floats, unknown: Unknown) -> Again | None:
    with unknown.without("the score made again"):
        return bundle.again(seen, matrix)
    return None


def _parts(
    bundle: Bundle, settings: Settings, seen: Observation, matrix: Floats, say: Say, unknown: Unknown
) -> Contributions | None:
    from threadpoolctl import threadpool_limits  # noqa: PLC0415 - beside its only use

    from tailrace.why.contributions import contributions  # noqa: PLC0415 - scikit-learn takes a second
    from tailrace.why.estimator import differs, estimator_of  # noqa: PLC0415 - the same

    say("taking the score apart; libraries for that take some seconds to load")
    with unknown.without("contributions"), threadpool_limits(1):
        estimator, manifest = estimator_of(bundle, settings.mlflow), bundle.manifest
        off = differs(estimator, bundle, matrix)
        if off is not None:
            unknown.lines.append(f"contributions: the run's estimator answers otherwise than the bundle, by {off:.3g}")
            return None
        place = place_of(bundle.spec, manifest.classes, seen.prediction.label)
        names = [column.name for column in manifest.columns]
        return contributions(estimator, names, matrix, bundle.golden(), place, manifest.post.target)
    return None


def _model(
    seen: Observation, ref: BundleRef | None, bundle: Bundle | None, settings: Settings, unknown: Unknown
) -> Model:
    said = seen.prediction
    if bundle is None:
        return Model(said.version, seen.digest, said.epoch, ref.uri if ref else "")
    manifest, data = bundle.manifest, Data()
    if manifest.run_id and ref is not None:
        with unknown.without("offset ranges"):
            data = run_data(settings.mlflow, ref)
    return Model(
        version=said.version,
        digest=seen.digest,
        epoch=said.epoch,
        uri=ref.uri if ref else "",
        runtime=manifest.runtime,
        run_id=manifest.run_id,
        trained_from=manifest.trained_from,
        trained_until=manifest.trained_until,
        data=data,
    )
