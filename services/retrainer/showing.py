"""What the world sees of the retrainer: health and metrics."""

from services.retrainer.orders import WAITING
from shared.core.metrics import Metrics
from shared.core.retraining import Book, Training
from shared.runtime.health import Health

CHECKS = ("assignment", "registry", "training")


class Showing:
    """Says how things stand.

    Args:
        health: readiness, by the checks above.
        metrics: figures.
    """

    def __init__(self, health: Health, metrics: Metrics) -> None:
        self._health, self._metrics = health, metrics
        health.set("registry", ok=True, detail="not asked yet")
        health.set("training", ok=True, detail="none")
        self.owns(owns=False)

    def owns(self, *, owns: bool) -> None:
        """Whether this one works."""
        self._metrics.gauge("tailrace_retrainer_active", int(owns))
        self._health.set("assignment", ok=owns, detail="this one works" if owns else "another one works")

    def turned(self) -> None:
        """A turn is over."""
        self._health.turn()

    def holds(self, book: Book, stage: tuple[str, str] | None) -> None:
        """What is in hand, and what holds back."""
        self._metrics.gauge("tailrace_training_running", int(book.running is not None))
        self._metrics.gauge("tailrace_retrainer_event_time_seconds", book.now / 1_000)
        if book.running is None:
            faults = ", ".join(sorted(book.faults))
            self._health.set("training", ok=True, detail=f"held back by {faults}" if faults else "none")
            return
        words = f"{stage[0]}: {stage[1]}" if stage else book.running.state
        waits = stage is not None and stage[0] == WAITING
        self._health.set("training", ok=not waits, detail=f"{book.running.id}: {words}")

    def registry(self, trouble: str) -> None:
        """Whether the registry answers."""
        self._health.set("registry", ok=not trouble, detail=trouble or "answers")

    def refused(self, reason: str) -> None:
        """A request that is none."""
        self._metrics.count("tailrace_requests_refused_total", reason=reason)

    def judged(self, training: Training) -> None:
        """The gate's answer."""
        if training.state == "refused":
            self._metrics.count("tailrace_gate_total", decision="refused")
        elif training.state == "passed":
            judged = training.gate is None or training.gate.judged
            self._metrics.count("tailrace_gate_total", decision="passed" if judged else "not_judged")

    def ended(self, training: Training, seconds: float) -> None:
        """A training, or a request without one."""
        self._metrics.count("tailrace_trainings_total", result=training.state)
        if training.state != "declined":
            self._metrics.observe("tailrace_training_seconds", seconds)
