"""The broker dies in the middle: the client of some versions then hangs for ever; ours goes on by itself."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tailrace.stack.stack import Stack
from tests.support.wait import until
from tests.support.world import World, record

pytestmark = pytest.mark.system
N = 3_000


def test_scoring_goes_on_after_the_broker_was_killed(world: Callable[..., World], tmp_path: Path) -> None:
    """SIGKILL of the only broker under load, twice: nothing lost or doubled, no worker stays behind (F8, F15)."""
    with Stack(tmp_path / "stack", parts=("kafka",)) as stack:
        w = world(kafka=stack.endpoints.kafka)
        w.start(2)
        sent = 0
        for _ in range(2):
            w.send("records", [record(i) for i in range(sent, sent + N)])
            sent += N
            until(lambda n=sent: w.account().predictions > n - N, "the load to begin", 60)  # type: ignore[misc]
            pid = stack.supervisor.pid("kafka")
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            stack.supervisor.wait_ready("kafka", 60, through_restarts=True)
            assert stack.supervisor.pid("kafka") != pid
        w.send("records", [record(i) for i in range(sent, sent + N)])
        until(w.all_scored(sent + N), "every record after the broker's return", 120)
        account = w.account()
        assert (account.lost, account.doubled, account.stray) == (0, 0, 0), account
        w.supervisor.close()
