"""Event time waits for the loop to close: for the monitor's look, a training under way, a version on its way.

In slow time all of that takes minutes of event time. A replay that plays a week in a second would have gone on by a
month before the first training ended, and what it shows would be no loop.
"""

from collections.abc import Callable, Iterable
from typing import Protocol, TypeVar

import msgspec

from shared.core.monitor_records import Verdict, WindowFigures
from shared.core.ports import Clock
from shared.core.records import Rollout
from shared.core.retraining import ENDED, Book, Training
from shared.core.rollout import RolloutTable

ASK_EVERY = 0.1  # s between two looks at the topics
PATIENCE = 60.0  # s without any news, after which whoever is waited for is not there; a training may take longer
MONITOR = 20.0  # s for the monitor, which may have nothing to say of few records
T = TypeVar("T")
_decode_book = msgspec.json.Decoder(Book | Training).decode
_decode_said = msgspec.json.Decoder(Verdict | WindowFigures).decode
_decode_rollout = msgspec.json.Decoder(Rollout).decode


class News(Protocol):
    """What came on the topics since the last question; each may raise `Unavailable`."""

    def requests(self) -> int:
        """The offset of the last request on `retrain`; -1: none."""

    def trainings(self) -> Iterable[bytes]:
        """Values of `trainings`."""

    def verdicts(self) -> Iterable[bytes]:
        """Values of `verdicts`."""

    def models(self) -> Iterable[bytes]:
        """Values of `models`."""

    def close(self) -> None:
        """Let the clients go."""


class RetrainingGate:
    """Shut while records would come before their time.

    Args:
        news: of the topics.
        clock: for how often it asks, and how long it waits for whoever says nothing.
        ahead: how far (ms of event time) records may go beyond what the monitor has looked at.
        trainings: after so many trainings with an answer, the gate stays open.
    """

    def __init__(self, news: News, clock: Clock, ahead: int, trainings: int) -> None:
        self._news, self._clock, self._ahead, self._most = news, clock, ahead, trainings
        self._book = Book()
        self._asked_for = -1
        self._looked: int | None = None  # event time (ms) that the monitor has come to
        self._table = RolloutTable()
        self._ended: dict[str, str] = {}  # trainings that are over: the version that came of each
        self._asked, self._heard = float("-inf"), clock.monotonic()
        self._waits = self._over = False

    def shut(self, time: int) -> str:
        """Why records of this event time (ms) must wait; empty: they need not.

        Raises:
            Unavailable: the broker does not answer.
        """
        if self._over:
            return ""
        now = self._clock.monotonic()
        if now - self._asked >= ASK_EVERY:
            self._asked = now
            self._take()
        if self._looked is None:
            self._looked = time  # the monitor has said nothing yet: its first words are waited for from here
        self._over = len(self._ended) >= self._most and not self._coming()
        opened = "" if self._over else self._open()
        why = opened or ("" if self._over else self._behind(time))
        if why and not self._waits:
            self._heard = now
        self._waits = bool(why)
        under_way = self._book.running is not None
        return why if under_way or now - self._heard < (PATIENCE if opened else MONITOR) else ""

    def close(self) -> None:
        """Let the clients go."""
        self._news.close()

    def _take(self) -> None:
        news, before = self._news, (self._asked_for, self._looked, self._book, len(self._ended))
        # A request is written with the verdicts of its look: whoever knows of the look first knows of the request too.
        for said in _decoded(news.verdicts(), _decode_said):
            self._looked = max(self._looked or 0, said.at)
        self._asked_for = max(self._asked_for, news.requests())
        for training in _decoded(news.trainings(), _decode_book):
            if isinstance(training, Book):
                self._book = training
            elif training.state in ENDED and training.state != "declined":
                ref = training.challenger if training.state == "done" else None
                self._ended[training.id] = "" if ref is None else ref.version
        rollouts = list(_decoded(news.models(), _decode_rollout))
        for rollout in rollouts:
            self._table.put(rollout)
        if rollouts or before != (self._asked_for, self._looked, self._book, len(self._ended)):
            self._heard = self._clock.monotonic()

    def _open(self) -> str:
        book = self._book
        if book.running is not None:
            return f"training {book.running.id[:8]} ({book.running.trigger}) is under way"
        if self._asked_for > book.requests:
            return "a retrain request is not taken in yet"
        # A follow-up, or an alarm that was kept, needs no request.
        due = any(fit.at <= (self._looked or 0) for fit in book.schedule.pending)
        if (book.waiting is not None or due) and not book.faults:
            return "a training is about to begin"
        coming = self._coming()
        return f"version {coming} is on its way" if coming else ""

    def _coming(self) -> str:
        """A version whose rollout has not begun, or of which a step waits for the workers."""
        force = self._table.newest_active()
        for rollout in self._table:
            if rollout.plan and rollout.state == "announced" and (force is None or rollout.epoch > force.epoch):
                return _version(rollout)
        if self._trial():
            return ""  # one at a time: whoever comes next waits for the trial, which needs event time
        seen = {_version(r) for r in self._table if r.plan or r.state == "revoked"}
        return next((version for version in self._ended.values() if version and version not in seen), "")

    def _trial(self) -> bool:
        """Whether a challenger is in one of its steps."""
        force, shadow = self._table.newest_active(), self._table.shadowing()
        if force is None:
            return False
        return force.mode == "canary" or (shadow is not None and shadow.epoch > force.epoch)

    def _behind(self, time: int) -> str:
        late = time - (self._looked or time) - self._ahead
        return f"the monitor has looked at what was {(late + self._ahead) / 8.64e7:.1f} days before" if late > 0 else ""


def _version(rollout: Rollout) -> str:
    return (rollout.challenger or rollout.champion).version


def _decoded(values: Iterable[bytes], decode: Callable[[bytes], T]) -> Iterable[T]:
    for value in values:
        try:
            yield decode(value)
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue  # whose topic it is reports it; event time must not stand still for it
