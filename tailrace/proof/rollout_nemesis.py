"""Rollouts and faults in the order of the plan; and barriers that must change nothing."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import msgspec

from shared.adapters.kafka.announcer import Announcer
from shared.core.records import CONTROL_HEADER, Barrier
from shared.core.topics import topic
from tailrace.proof.live import Live
from tailrace.proof.nemesis import Nemesis, Struck
from tailrace.proof.plan import RANDOM, Fault
from tailrace.proof.plan import Request as Delivery
from tailrace.proof.rollout_bring import BUDGET_S, bring, start
from tailrace.proof.rollout_plan import NOISE, Move, Request
from tailrace.proof.scene import Say, Scene

FORGED = 999_999  # an epoch that `models` never has
_STALE = 1
_NOISE_EVERY = 5  # rollouts
_CUT = 2  # partitions that have their barrier when a controller dies


class RolloutNemesis(Nemesis):
    """Strikes, and rolls out.

    Args:
        scene: what it plays on.
        live: tells who owns what.
        request: what was asked for.
        faults: the plan; each "rollout" takes the next of the moves.
        moves: which version gets what.
        say: told of each.
    """

    def __init__(
        self, scene: Scene, live: Live, request: Request, faults: Sequence[Fault], moves: Sequence[Move], say: Say
    ) -> None:
        asked = Delivery(
            records=0, kills=request.kills, workers=request.workers, broker_kills=0, freezes=request.freezes,
            seed=request.seed,
        )  # fmt: skip
        super().__init__(scene, live, asked, faults, say, inquire=lambda _: [])
        self._moves: Iterator[Move] = iter(moves)
        self._calm = request.calm
        self.ways: Counter[str] = Counter()
        self.noise: Counter[str] = Counter()
        self.refused = 0
        self.calm_until = 0  # Unix ms
        self.tell: Callable[[], None] = lambda: None

    def _rollout(self, fault: Fault) -> Struck:
        move = next(self._moves)
        {"once": self._once, "cut": self._cut, "twins": self._twins}[fault.step](move)
        self.ways[fault.step] += 1
        done = self.ways.total()
        if done == self._calm:
            time.sleep(fault.lasts)
            self.calm_until = int(time.time() * 1000)
        elif done > self._calm and done % _NOISE_EVERY == 0:
            self._noise()
        text = f"version {move.version}" + (f" for {move.share:.0%} of keys" if move.mode == "canary" else "")
        return Struck("rollout", RANDOM, text=f"{fault.step}: {text}")

    def _once(self, move: Move) -> None:
        scene = self._scene
        self.refused += bring(scene.pipeline.spec, scene.settings, move, self._request.workers)

    def _cut(self, move: Move) -> None:
        """A controller dies between two barriers; another one completes what is missing."""
        child = start(str(self._scene.pipeline.folder), self._environment(), move, self._request.workers, _CUT)
        child.wait(BUDGET_S)
        self._once(move)

    def _twins(self, move: Move) -> None:
        """Two controllers want the same at once."""
        other = start(str(self._scene.pipeline.folder), self._environment(), move, self._request.workers)
        self._once(move)
        other.wait(2 * BUDGET_S)

    def _environment(self) -> dict[str, str]:
        stack = self._scene.stack
        return {**stack.endpoints.env(), "TAILRACE_STATE": str(stack.state.path)}

    def _noise(self) -> None:
        """Barriers of an epoch long past and of one that nobody announced, into every partition."""
        spec, announcer = self._scene.pipeline.spec, Announcer(self._scene.conf, BUDGET_S)
        try:
            for kind, epoch in zip(NOISE, (_STALE, FORGED), strict=True):
                announcer.send(
                    topic(spec.name, "records"), b"tailrace-control", msgspec.json.encode(Barrier(epoch)),
                    headers=[(CONTROL_HEADER, b"rollout")], partitions=range(spec.partitions),
                )  # fmt: skip
                self.noise[kind] += spec.partitions
        finally:
            announcer.close()
