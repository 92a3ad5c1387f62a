"""Wiring of one training: history in, a signed bundle out, registered and announced."""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import msgspec

from services.retrainer.bundle import write_bundle
from services.retrainer.card import NOTHING, Told
from services.retrainer.dataset import Files, load_dataset
from services.retrainer.gate import check_data
from services.retrainer.learn import Learned, learn
from services.retrainer.papers import tags_of, write_papers
from services.retrainer.registry import registry_of
from services.retrainer.search import Searched, Watch, check_search
from shared.adapters.mlflow_models import Registry
from shared.adapters.signing import Signer, make_keys
from shared.core.bundle_checks import classes_of
from shared.core.codec import RecordCodec
from shared.core.pipeline import PipelineSpec
from shared.core.records import BundleRef, Rollout
from shared.core.registry import Draft, Shape
from shared.runtime.model_files import public_key, signing_key, state_folder
from shared.runtime.settings import Settings

LOCAL_VERSION = "local"
Progress = Callable[[str], None]
Announce = Callable[[BundleRef], Rollout]
"""Says on `<pipeline>.models` that a bundle is ready; gives what it wrote."""


class HasSpec(Protocol):
    """A pipeline, as far as training is concerned."""

    @property
    def spec(self) -> PipelineSpec:
        """Its decoded file."""


class TrainReport(msgspec.Struct, frozen=True):
    """What a training gave. `gain` is the runtime's speed over scikit-learn's; times are event times in ms.

    `tried` says of each runtime why it was refused, or its microseconds a record by batch size. `epoch` is 0 where
    nothing was announced. `goals` are those of the pipeline, by metric; `metrics` has a linear model's beside ours
    where there are any. `searched` is what a search found; its best parameters were used.
    """

    pipeline: str
    title: str
    estimator: str
    ref: BundleRef
    records: int
    fitted: int
    held_out: int
    metrics: dict[str, float]
    runtime: str
    gain: float
    parity: float
    tried: dict[str, dict[str, float] | str]
    warnings: tuple[str, ...]
    left_out: dict[str, int]
    trained_from: int
    trained_until: int
    epoch: int = 0
    state: str = ""
    run_id: str = ""
    goals: dict[str, float] = {}
    searched: Searched | None = None


def train(
    pipeline: HasSpec,
    settings: Settings,
    progress: Progress,
    *,
    files: Files,
    until: int | None = None,
    out: Path | None = None,
    announce: Announce | None = None,
    state: Path | None = None,
    watch: Watch | None = None,
) -> TrainReport:
    """Train a pipeline's model.

    Args:
        pipeline: what to train.
        settings: the registry, and the signing key; where none is named, a pair in the state folder is used or made.
        progress: told in a line what is being done.
        files: the history.
        until: event time (ms) before which records and their labels count; None: `history.train_until`.
        out: write only the bundle, to this folder; neither MLflow nor Kafka is touched.
        announce: called with the registered bundle.
        state: the state folder; None: `TAILRACE_STATE` says it.
        watch: asks for the search that the pipeline declares, and is told how far it is.

    Raises:
        DataRefused: the data cannot train a model.
        UserError: a file, key or setting is wrong.
        Unavailable: the registry or the log does not answer; what was registered stays marked as pending or failed.
    """
    spec = pipeline.spec
    if watch is not None:
        check_search(spec)
    signer = signer_of(settings, state_folder() if state is None else state)
    codec = RecordCodec(spec)
    progress("loading the history")
    data = load_dataset(spec, codec, files, until=until, progress=progress)
    warnings = check_data(spec, data)
    learned = learn(spec, codec, data, progress, watch=watch)
    left_out = {**data.refused, "unlabelled": data.unlabelled, "young": data.young, "duplicates": data.duplicates}
    if out is not None:
        ref, run_id = write_bundle(learned.content, LOCAL_VERSION, out, signer.sign), ""
    else:
        progress(f"registering at {settings.mlflow.url}")
        ref, run_id = register(registry_of(settings), learned, signer, tags={"tailrace.gate": "none"})
    rollout = announce(ref) if announce is not None and out is None else None
    report = _report(spec, learned, ref, tuple(warnings), left_out)
    return msgspec.structs.replace(
        report, run_id=run_id, epoch=rollout.epoch if rollout else 0, state=rollout.state if rollout else ""
    )


def signer_of(settings: Settings, state: Path) -> Signer:
    """Signs bundles; where no key is named, with a pair in the state folder that is made at the first time."""
    if not settings.models.signing_key_file:
        make_keys(signing_key(settings.models, state), public_key(settings.models, state))
    return Signer(signing_key(settings.models, state))


def register(
    registry: Registry,
    learned: Learned,
    signer: Signer,
    *,
    tags: Mapping[str, str] | None = None,
    told: Told = NOTHING,
    first: Callable[[Draft], None] = lambda _: None,
) -> tuple[BundleRef, str]:
    """Register what was learned as the next version.

    Args:
        registry: where.
        learned: the training's outcome.
        signer: signs the bundle.
        tags: more tags of run and version.
        told: what stands in the model card beside the training's own figures.
        first: called before the version is complete, and so before anything can refer to it.

    Returns:
        The version, and the id of its run.

    Raises:
        Unavailable: the registry does not answer; the version stays pending or is marked as failed.
    """
    spec = learned.content.spec
    all_tags = {"tailrace.pipeline": spec.name, **tags_of(learned, told), **(tags or {})}
    draft = registry.begin(spec.name, _parameters(spec, learned), all_tags)
    try:
        first(draft)
        return _finish(registry, draft, learned, signer, told), draft.run_id
    except BaseException as error:  # Ctrl-C as well: a version without a bundle must say so
        registry.fail(draft, f"{type(error).__name__}: {error}")
        raise


def _finish(registry: Registry, draft: Draft, learned: Learned, signer: Signer, told: Told) -> BundleRef:
    content = replace(learned.content, run_id=draft.run_id)
    with tempfile.TemporaryDirectory(prefix="tailrace-bundle-") as beside:
        folder = Path(beside) / "bundle"
        digest = write_bundle(content, draft.version, folder, signer.sign).digest
        papers = Path(beside) / "papers"
        write_papers(replace(learned, content=content), told, draft.version, papers)
        registry.attach(draft.run_id, papers)
        shape = Shape(tuple(column.name for column in content.columns), len(classes_of(content.spec)))
        return registry.finish(draft, folder, digest, content.metrics, learned.estimator, shape)


def _parameters(spec: PipelineSpec, learned: Learned) -> Mapping[str, object]:
    content, searched = learned.content, learned.searched
    found: dict[str, object] = {}
    if searched is not None:
        found = {"search.metric": searched.metric, "search.fits": searched.fits, "search.mean": searched.mean}
    return {
        **{f"model.{name}": value for name, value in spec.model.parameters.items()},
        **found,
        "estimator": spec.model.estimator,
        "seed": spec.model.seed,
        "records": learned.n,
        "runtime": content.chosen.runtime,
        "trained_from": content.trained_from,
        "trained_until": content.trained_until,
        "fingerprint": learned.fingerprint,
    }


def _report(
    spec: PipelineSpec, learned: Learned, ref: BundleRef, warnings: tuple[str, ...], left_out: dict[str, int]
) -> TrainReport:
    content, exported = learned.content, learned.export
    return TrainReport(
        pipeline=spec.name,
        title=spec.title,
        estimator=spec.model.estimator.rpartition(".")[2],
        ref=ref,
        records=learned.n,
        fitted=learned.n_fit,
        held_out=learned.n_holdout,
        metrics=dict(content.metrics),
        runtime=exported.chosen.runtime,
        gain=round(exported.gain, 2),
        parity=exported.chosen.parity,
        tried={tried.runtime: tried.refused or tried.micros for tried in exported.tried},
        warnings=(*warnings, *learned.warnings),
        left_out={name: count for name, count in left_out.items() if count},
        trained_from=content.trained_from,
        trained_until=content.trained_until,
        goals=dict(spec.monitoring.goal),
        searched=learned.searched,
    )
