"""One training from a request to an answer: candidate, gate, refit of everything, registration.

It may end at any step and be begun again: nothing it leaves behind refers to anything, and a version that it had
registered is found by the training's id.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec

from services.retrainer.card import Told
from services.retrainer.challenge import Material, broken, challenge, refused
from services.retrainer.champion import Champion, champion_of
from services.retrainer.dataset import Dataset
from services.retrainer.gate import DataRefused, check_data
from services.retrainer.learn import Learned, learn, with_parameters
from services.retrainer.main import register, signer_of
from services.retrainer.material import HasHistory, material_of
from services.retrainer.orders import WAITING, Order, Outcome
from services.retrainer.search import Step
from shared.adapters.mlflow_models import Registry
from shared.core.codec import RecordCodec
from shared.core.errors import Unavailable
from shared.core.gate import GateFigures
from shared.core.pipeline import PipelineSpec
from shared.core.ports import Clock
from shared.core.records import BundleRef
from shared.core.registry import COMPLETE, FAILED, PENDING, STATE_TAG, Draft
from shared.core.retraining import Training
from shared.runtime.settings import Settings

TRAINING_TAG, GATE_TAG = "tailrace.training", "tailrace.gate"
FIGURES_TAG, BESIDE_TAG = "tailrace.gate_figures", "tailrace.gate_champion"
GATE_FILE = "gate.json"
LONGEST_TAG = 4_500  # MLflow takes 5,000 characters
PATIENCE = 5.0  # s between questions to a registry that is away
T = TypeVar("T")
Say = Callable[[str, str], None]
"""Told of a stage and what is being done: `train`, `gate`, `register`, or `waiting`, whose time does not count."""


@dataclass(frozen=True, slots=True)
class Around:
    """What a training works with. `mark` is called at each named step, `sleep` waits so many seconds.

    `settle` waits until the archive has what was known at the request.
    """

    settings: Settings
    registry: Registry
    state: Path
    cache: Path
    clock: Clock
    say: Say
    sleep: Callable[[float], None]
    settle: Callable[[PipelineSpec, Callable[[str], None]], None] = lambda _, __: None
    mark: Callable[[str], None] = lambda _: None


def train_once(order: Order, pipeline: HasHistory, around: Around) -> Outcome:
    """Do what was ordered.

    Raises:
        UserError: the pipeline, its history or a setting is wrong.
        ModelRefused: the champion's bundle is not what was announced.
    """
    spec, training = pipeline.spec, order.training
    if (before := _patiently(around, lambda: _registered(around.registry, spec.name, training.id))) is not None:
        return before
    champion = _patiently(
        around, lambda: champion_of(spec, around.settings, order.champion, around.state, around.clock)
    )

    def say(text: str) -> None:
        around.say("train", text)

    def gathered() -> Material:
        around.settle(spec, say)
        version = champion.ref.version
        return material_of(pipeline, around.settings, training, order.spoiled, version, around.cache, say)

    gate: GateFigures | None = None
    try:
        material = _patiently(around, gathered)
        candidate, gate = _judged(spec, material, champion, around)
        around.mark("gate")
        if gate.passed:
            learned = _refit(spec, material.full, candidate, around)
            gate = refused(gate, broken(spec, learned, champion))
    except DataRefused as error:
        gate = None if gate is None else refused(gate, [str(error)])
        return _refused(spec, training, champion, gate, str(error), around)
    if not gate.passed:
        return _refused(spec, training, champion, gate, "; ".join(gate.reasons), around)
    told = Told(material.offsets, gate, champion.ref.version, f"{training.trigger} ({training.request})")
    return _registering(training, champion, gate, learned, told, around)


def _judged(spec: PipelineSpec, material: Material, champion: Champion, around: Around) -> tuple[Learned, GateFigures]:
    def say(text: str) -> None:
        around.say("gate", text)

    codec = RecordCodec(spec)
    warnings = check_data(spec, material.candidate)
    say(f"a candidate of {len(material.candidate):,} records; {'; '.join(warnings) or 'nothing odd about them'}")
    learned = learn(spec, codec, material.candidate, say, watch=_watch(say) if spec.retraining.search else None)
    around.mark("train")
    return learned, challenge(spec, codec, material, learned, champion, say)


def _refit(spec: PipelineSpec, full: Dataset, candidate: Learned, around: Around) -> Learned:
    """What is promoted learns from all labels, with what the candidate's search found."""

    def say(text: str) -> None:
        around.say("train", text)

    if candidate.searched is not None:
        spec = with_parameters(spec, candidate.searched.best)
    check_data(spec, full)
    say(f"a refit of {len(full):,} records")
    return learn(spec, RecordCodec(spec), full, say)


def _registering(
    training: Training, champion: Champion, gate: GateFigures, learned: Learned, told: Told, around: Around
) -> Outcome:
    figures = msgspec.json.encode(gate).decode()
    tags = {TRAINING_TAG: training.id, GATE_TAG: "passed", BESIDE_TAG: champion.ref.version}
    if len(figures) <= LONGEST_TAG:
        tags[FIGURES_TAG] = figures
    signer = signer_of(around.settings, around.state)

    def first(draft: Draft) -> None:
        around.registry.log_json(draft.run_id, GATE_FILE, record_of(training, champion.ref.version, gate))
        around.mark("log")

    def write() -> tuple[BundleRef, str]:
        around.say("register", "registering")
        return register(around.registry, learned, signer, tags=tags, told=told, first=first)

    ref, run_id = _patiently(around, write)
    around.mark("register")
    return Outcome(
        "passed", "; ".join(gate.reasons), champion.ref.version, gate, ref, run_id, dict(learned.content.metrics)
    )


def _refused(
    spec: PipelineSpec, training: Training, champion: Champion, gate: GateFigures | None, why: str, around: Around
) -> Outcome:
    """The answer is no: it stands in the registry as a run of its own, which made no version."""
    tags = {"tailrace.pipeline": spec.name, TRAINING_TAG: training.id, GATE_TAG: "refused"}
    record = {**record_of(training, champion.ref.version, gate), "reason": why}
    run = _patiently(around, lambda: around.registry.note(spec.name, f"refused {spec.name}", tags, GATE_FILE, record))
    return Outcome("refused", why, champion.ref.version, gate, None, run)


def record_of(training: Training, champion: str, gate: GateFigures | None) -> dict[str, object]:
    """The gate's record as it stands in the registry."""
    return {
        "training": training.id, "request": training.request, "trigger": training.trigger, "at": training.at,
        "kind": training.kind, "window": training.window, "champion": champion,
        "gate": None if gate is None else msgspec.to_builtins(gate),
    }  # fmt: skip


def _registered(registry: Registry, name: str, training: str) -> Outcome | None:
    """What an earlier life of this training had registered; what it had only begun is marked as failed."""
    for version in reversed(registry.versions(name)):
        if version.tags.get(TRAINING_TAG) != training:
            continue
        if version.state == PENDING:
            registry.tag(name, version.version, STATE_TAG, FAILED)
        elif version.state == COMPLETE and version.ref is not None:
            told = version.tags.get(FIGURES_TAG, "")
            gate = msgspec.json.decode(told, type=GateFigures) if told else None
            reason, beside = "registered by an earlier attempt", version.tags.get(BESIDE_TAG, "")
            return Outcome("passed", reason, beside, gate, version.ref, version.run_id)
    return None


def _patiently(around: Around, call: Callable[[], T]) -> T:
    """What is away comes back: the training waits for it, and says so."""
    while True:
        try:
            return call()
        except Unavailable as error:
            around.say(WAITING, str(error))
            around.sleep(PATIENCE)


def _watch(say: Callable[[str], None]) -> Callable[[Step], None]:
    def told(step: Step) -> None:
        say(f"search: {step.done} of {step.total} fits")

    return told
