"""When event time stands still: rollouts that do not act everywhere yet."""

from dataclasses import dataclass, field
from typing import Literal

import pytest

from services.ingest.replay.lockstep import LockstepGate, NoTrainings
from shared.core.errors import Unavailable
from shared.core.records import Application, BundleRef, Rollout
from shared.core.rollout import RolloutTable

State = Literal["announced", "active", "revoked"]
Cause = Literal["first", "barrier", "revoked", "local"]


@dataclass
class View:
    """The topics `models` and `rollouts` as a test wants them."""

    table: RolloutTable
    applications: list[Application] = field(default_factory=list)
    down: bool = False

    def refresh(self) -> None:
        """Nothing is new, or nobody answers."""
        if self.down:
            raise Unavailable("no answer")


class OneTraining:
    """A training that is open."""

    def open(self) -> str:
        """Its trigger."""
        return "drift-7"


def rollout(epoch: int, state: State = "active") -> Rollout:
    """An epoch in a state."""
    return Rollout("shop", epoch, BundleRef(str(epoch), "file:///x", "d"), state)


def applied(partition: int, epoch: int, offset: int = 0, cause: Cause = "barrier", barrier: int = 0) -> Application:
    """An epoch in force."""
    return Application(partition, epoch, offset, cause, str(epoch), barrier or epoch)


def reason(view: View, *, pending: int = 0, local: bool = False) -> str:
    """Why a pipeline of two partitions must wait."""
    return LockstepGate(view, 2, NoTrainings(), lambda: pending, local=local).reason()


FIRST = [applied(0, 1, cause="first"), applied(1, 1, cause="first")]


@pytest.mark.parametrize(
    ("rollouts", "applications", "waits"),
    [
        ([], [], False),
        ([rollout(1)], [], False),
        ([rollout(1), rollout(2, "announced")], FIRST, False),
        ([rollout(1), rollout(2)], FIRST, True),
        ([rollout(1), rollout(2)], [], True),
        ([rollout(1), rollout(2)], [*FIRST, applied(0, 2, 9)], True),
        ([rollout(1), rollout(2)], [*FIRST, applied(0, 2, 9), applied(1, 2, 7)], False),
        # Epoch 2 was acting, was revoked, and acts no more in either partition.
        ([rollout(1), rollout(2, "revoked")], [applied(p, 1, 20, "revoked", 2) for p in (0, 1)], False),
    ],
)
def test_an_open_rollout_holds(rollouts: list[Rollout], applications: list[Application], waits: bool) -> None:  # noqa: FBT001 - a column of the table
    """An active epoch that some partition does not score with yet holds event time; the first epoch never does."""
    assert bool(reason(View(RolloutTable(rollouts), applications))) == waits


@pytest.mark.parametrize(("pending", "waits"), [(0, False), (5, True)])
def test_a_revocation_holds_only_while_records_wait(pending: int, waits: bool) -> None:  # noqa: FBT001 - the same
    """It acts at the next batch, so without records to score it would be waited for without end."""
    view = View(RolloutTable([rollout(1), rollout(2, "revoked")]), [*FIRST, applied(0, 2, 9), applied(1, 2, 7)])
    assert bool(reason(view, pending=pending)) == waits


@pytest.mark.parametrize(("pending", "waits"), [(0, False), (5, True)])
def test_a_local_activation_holds_only_while_records_wait(pending: int, waits: bool) -> None:  # noqa: FBT001 - the same
    """The same for `rollout.activation: local`."""
    view = View(RolloutTable([rollout(1), rollout(2)]), FIRST)
    assert bool(reason(view, pending=pending, local=True)) == waits


def test_an_open_training_holds() -> None:
    """The port of the retrainer: whatever it says is open is waited for, and named."""
    gate = LockstepGate(View(RolloutTable()), 2, OneTraining(), lambda: 0, local=False)
    assert "drift-7" in gate.reason()


def test_an_outage_holds() -> None:
    """Not knowing is no reason to go on."""
    assert "no answer" in reason(View(RolloutTable(), down=True))
