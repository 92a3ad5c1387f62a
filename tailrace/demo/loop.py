"""What the demo knows of the closed loop: trainings, versions, and where each epoch began, as the topics tell it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from shared.core.monitor_records import RetrainRequest
from shared.core.records import Application, Rollout
from shared.core.retraining import Book, Training
from tailrace.demo.summary import Change, Retrained
from tailrace.demo.words import at_offsets, day, gate_words, percent

Say = Callable[[str], None]
T = TypeVar("T")
_LEARNS = {
    "clock": "whole window", "manual": "whole window", "alarm": "newest part", "follow_up": "whole window, a follow-up",
}  # fmt: skip
_book = msgspec.json.Decoder(Book | Training).decode
_rollout = msgspec.json.Decoder(Rollout).decode
_application = msgspec.json.Decoder(Application).decode
_request = msgspec.json.Decoder(RetrainRequest).decode


@dataclass(slots=True)
class News:
    """Values that came on the topics since the last look."""

    retrain: Iterable[bytes] = ()
    trainings: Iterable[bytes] = ()
    models: Iterable[bytes] = ()
    rollouts: Iterable[bytes] = ()


@dataclass(slots=True)
class Loop:
    """Says what is new, once, and remembers all of it.

    Args:
        partitions: of `records`.
        say: told a line an event.
    """

    partitions: int
    say: Say
    requests: dict[str, RetrainRequest] = field(default_factory=dict)
    trainings: dict[str, Training] = field(default_factory=dict)
    epochs: dict[int, Rollout] = field(default_factory=dict)
    began: dict[int, dict[int, int]] = field(default_factory=dict)
    _told: set[tuple[str, str]] = field(default_factory=set)

    def take(self, news: News) -> None:
        """Take in what came. What cannot be read is left out: whose topic it is reports it."""
        for request in _decoded(news.retrain, _request):
            again = request.trigger == "schedule" and bool(self.requests)  # a clock that strikes is news once
            self.requests.setdefault(request.id, request)
            if again:
                continue
            reason = next((r for verdict in request.reasons for r in verdict.reasons), "")
            self._once(
                "request", request.id, f"{day(request.at)}: retraining is asked for ({request.trigger}: {reason})"
            )
        for training in _decoded(news.trainings, _book):
            if isinstance(training, Training) and training.state != "declined":
                self._training(training)
        for rollout in _decoded(news.models, _rollout):
            self._rollout(rollout)
        for one in _decoded(news.rollouts, _application):
            # A partition that is taken over says again where its epoch began.
            self.began.setdefault(one.epoch, {}).setdefault(one.partition, one.offset)
            self._begun(one.epoch)

    def trained(self) -> tuple[Retrained, ...]:
        """All trainings, in the order of event time."""
        return tuple(
            Retrained(
                id=one.id, trigger=one.trigger, kind=one.kind, at=one.at, state=one.state, reason=one.reason,
                version=one.challenger.version if one.challenger else None,
                gate=gate_words(one.gate) if one.gate else "",
            )
            for one in sorted(self.trainings.values(), key=lambda one: (one.at, one.id))
        )  # fmt: skip

    def changes(self) -> tuple[Change, ...]:
        """All epochs that began anywhere, or that the rollout made and did not only announce, in order."""
        return tuple(
            Change(
                epoch=one.epoch, version=version_of(one), mode=one.mode, share=one.share,
                state="over" if self._passed(one) else one.state,
                reason=one.reason, offsets=dict(sorted(self.began.get(one.epoch, {}).items())),
            )
            for one in sorted(self.epochs.values(), key=lambda one: one.epoch)
            if one.state != "announced" and (one.plan or self.began.get(one.epoch))
        )  # fmt: skip

    def in_force(self) -> str:
        """The version that the newest epoch in force names."""
        acting = [one for one in self.epochs.values() if one.state == "active" and one.mode != "shadow"]
        return max(acting, key=lambda one: one.epoch).champion.version if acting else ""

    def swapped(self) -> bool:
        """Whether a version other than the first came into force everywhere."""
        later = [e for e, one in self.epochs.items() if one.plan and one.mode == "champion" and one.state == "active"]
        return any(len(self.began.get(epoch, {})) == self.partitions for epoch in later)

    def _training(self, training: Training) -> None:
        self.trainings[training.id] = training
        if training.state == "running" and training.attempts:
            part = _LEARNS[training.kind]
            words = f"{day(training.at)}: training on the {part}, to be judged beside version {training.champion}"
        elif training.state in ("passed", "refused"):
            gate = f"; {gate_words(training.gate)}" if training.gate else ""
            words = f"the gate: {training.state}{gate}"
            words += f" ({training.reason})" if training.reason and training.state == "refused" else ""
        elif training.state == "failed":
            words = f"the training failed: {training.reason}"
        elif training.state == "done" and training.challenger:
            words = f"version {training.challenger.version} is registered, and the challenger"
        else:
            return
        self._once(training.state, training.id, words)

    def _rollout(self, rollout: Rollout) -> None:
        known = self.epochs.get(rollout.epoch)
        self.epochs[rollout.epoch] = rollout
        if rollout.state == "active" and rollout.plan:
            self._once("active", str(rollout.epoch), f"epoch {rollout.epoch}: {step_of(rollout)}")
            self._begun(rollout.epoch)
        elif rollout.state == "revoked" and (known is None or known.state != "revoked") and not self._passed(rollout):
            self._once("revoked", version_of(rollout), f"version {version_of(rollout)} is taken back: {rollout.reason}")

    def _passed(self, shadow: Rollout) -> bool:
        """Whether a shadow is over because its version went on to the next step."""
        later = (one for one in self.epochs.values() if one.epoch > shadow.epoch and one.state == "active")
        over = shadow.mode == "shadow" and shadow.state == "revoked"
        return over and any(version_of(one) == version_of(shadow) for one in later)

    def _begun(self, epoch: int) -> None:
        rollout, began = self.epochs.get(epoch), self.began.get(epoch, {})
        if rollout is not None and rollout.plan and len(began) == self.partitions:
            self._once("began", str(epoch), f"epoch {epoch} acts from {at_offsets(began)} (partition:offset)")

    def _once(self, what: str, name: str, words: str) -> None:
        if (what, name) not in self._told:
            self._told.add((what, name))
            self.say(words)


def version_of(rollout: Rollout) -> str:
    """The version that an epoch is about."""
    return (rollout.challenger or rollout.champion).version


def step_of(rollout: Rollout) -> str:
    """What an epoch does, in words."""
    if rollout.mode == "shadow":
        return f"version {version_of(rollout)} scores beside version {rollout.champion.version}, as its shadow"
    if rollout.mode == "canary":
        return f"version {version_of(rollout)} scores {percent(rollout.share)} of the keys"
    return f"version {rollout.champion.version} scores"


def _decoded(values: Iterable[bytes], decode: Callable[[bytes], T]) -> Iterable[T]:
    for value in values:
        try:
            yield decode(value)
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
