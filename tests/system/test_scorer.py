"""The main job on a real broker: every record has exactly one committed outcome, whatever dies on the way."""

import json
import os
import random
import signal
from collections.abc import Callable

import numpy as np
import pytest

from shared.core.codec import RecordCodec
from shared.core.features import FeatureBuilder
from shared.core.ports import Found
from shared.runtime.runtimes import load_runtime
from tests.support.wait import until
from tests.support.world import World, record

pytestmark = pytest.mark.system
N = 4_000


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_killed_workers_lose_and_double_nothing(world: Callable[..., World], protocol: str) -> None:
    """SIGKILL at random moments, both rebalance protocols: one outcome a record, in key order (I1, I2, I4)."""
    seed = random.SystemRandom().randrange(10_000)
    print(f"seed {seed}")
    dice = random.Random(seed)
    w = world(env={"TAILRACE_KAFKA__GROUP_PROTOCOL": protocol})
    w.start(2)
    for burst in range(4):
        w.send("records", [record(burst * N // 4 + i) for i in range(N // 4)])
        until(lambda b=burst: w.account().predictions >= b * N // 4 + 1, "the first predictions of a burst", 60)  # type: ignore[misc]
        victim = w.pid(dice.randrange(2))
        os.kill(victim, signal.SIGKILL)
        # Until it was noticed the dead one still has its number: a second kill of it would be none.
        until(
            lambda dead=victim: all(s.pid not in {None, dead} for s in w.supervisor.status()),  # type: ignore[misc]
            "the worker to be started again",
        )
    until(w.all_scored(N), "every record to be scored", 90)
    account = w.account()
    assert (account.lost, account.doubled, account.stray) == (0, 0, 0), account
    assert account.predictions == N
    assert w.restarts() == 4
    by_key: dict[str, list[int]] = {}
    for made in w.values("predictions"):
        by_key.setdefault(made["key"], []).append(made["at"][1])
    assert all(offsets == sorted(offsets) for offsets in by_key.values())


def test_each_prediction_explains_itself(world: Callable[..., World]) -> None:
    """A prediction and its observation name version, digest and epoch, and scoring again gives the same (I8, I9)."""
    w = world()
    w.start(1)
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    w.send("records", [(*record(i, phone="+49 30 1234567")[:2], [("traceparent", trace.encode())]) for i in range(200)])
    until(w.all_scored(200), "200 predictions", 60)
    ref = w.versions["1"]
    manifest = w.kit.manifest()
    codec = RecordCodec(w.spec)
    builder = FeatureBuilder(w.spec, codec, manifest.columns)
    runtime = load_runtime(manifest.runtime, w.kit.folder)
    observed = w.values("journal")
    assert len(observed) == 200
    for seen in observed:
        made = seen["prediction"]
        assert (made["version"], made["digest"], made["epoch"], made["v"]) == ("1", ref.digest[:16], 1, 1)
        assert made["flags"] == ["degraded"]
        assert made["ages"] == {"weather": None}
        assert "phone" not in seen["record"]
        rows = codec.decode([json.dumps(seen["record"]).encode()]).rows
        again = runtime.predict(builder.matrix(rows, Found(values={"weather": [None]})).values)
        assert np.isclose(again[0][list(manifest.classes).index("late")], made["score"], rtol=0, atol=1e-9)
    assert w.headers("predictions") == [{"traceparent": trace}] * 200
    assert {made["id"] for made in w.values("predictions")} == {f"r{i}" for i in range(200)}


def test_sigterm_ends_in_order(world: Callable[..., World]) -> None:
    """SIGTERM under load: exit 0, no open transaction, another worker goes on at the right offset (I17)."""
    w = world()
    w.start(2)
    w.send("records", [record(i) for i in range(N)])
    until(lambda: w.account().predictions > 0, "the first predictions", 60)
    w.supervisor.stop([f"scorer-{w.folder.name}-0"])
    status = next(s for s in w.supervisor.status() if s.name.endswith("-0"))
    assert status.last_code == 0, w.logs()
    until(w.all_scored(N), "the other worker to finish", 60)
    assert w.account().ok
