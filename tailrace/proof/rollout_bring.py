"""Bringing a version into force from a process of its own, which may die between two barriers.

`python -m tailrace.proof.rollout_bring PIPELINE MODE VERSION SHARE WORKERS CUT`: the real controller; with CUT above 0
it is killed by itself when so many partitions have their barrier.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from services.retrainer.rollout import wiring
from services.retrainer.rollout.decide import RolloutRefused
from services.retrainer.rollout.wiring import rollout_control
from shared.adapters.kafka.announcer import Announcer
from shared.adapters.pipeline_yaml import load_pipeline
from shared.core.errors import Unavailable, UserError
from shared.core.pipeline import PipelineSpec
from shared.core.records import Headers
from shared.runtime.settings import Settings, load_settings
from tailrace.proof.rollout_plan import Move

BUDGET_S = 60.0
_AGAIN_S = 0.3
_ARGUMENTS = 6


class CutShort(Announcer):
    """Kills its process when `cut` partitions have their barrier and the next one is due."""

    cut = 0

    def send(
        self, topic: str, key: bytes, value: bytes, *, headers: Headers | None = None, partitions: Sequence[int] = ()
    ) -> None:
        """See `Announcer`; barriers go one by one, each acknowledged."""
        if not partitions:
            super().send(topic, key, value, headers=headers)
        for n, partition in enumerate(partitions):
            if n == CutShort.cut:
                os.kill(os.getpid(), signal.SIGKILL)
            super().send(topic, key, value, headers=headers, partitions=[partition])


def bring(spec: PipelineSpec, settings: Settings, move: Move, workers: int) -> int:
    """Until it is in force: a worker that was killed just now makes the first tries fail.

    Returns:
        How often it was refused before.

    Raises:
        RolloutRefused: it was not to be done in time.
    """
    deadline, refused = time.monotonic() + BUDGET_S, 0
    while True:
        try:
            with rollout_control(spec, settings) as control:
                control.activate(
                    move.version,
                    reason="proof",
                    workers=workers,
                    timeout=BUDGET_S / 4,
                    mode=move.mode,
                    share=move.share,
                )
        except (RolloutRefused, Unavailable, UserError):
            refused += 1
            if time.monotonic() > deadline:
                raise
            time.sleep(_AGAIN_S)
        else:
            return refused


def start(folder: str, env: Mapping[str, str], move: Move, workers: int, cut: int = 0) -> subprocess.Popen[bytes]:
    """The same in a process of its own."""
    module = "tailrace.proof.rollout_bring"
    words = [sys.executable, "-m", module, folder, move.mode, move.version, str(move.share), str(workers), str(cut)]
    return subprocess.Popen(words, env={**os.environ, **env}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def main(words: Sequence[str]) -> None:
    """One rollout."""
    if len(words) != _ARGUMENTS:
        raise UserError("six arguments are needed", remedy=str(__doc__))
    folder, mode, version, share, workers, cut = words
    if int(cut):
        CutShort.cut = int(cut)
        seam: dict[str, Any] = {"Announcer": CutShort}
        vars(wiring).update(seam)  # the process is ours alone
    settings, _ = load_settings(os.environ)
    bring(load_pipeline(folder).spec, settings, Move(mode, version, float(share)), int(workers))  # type: ignore[arg-type] # its names


if __name__ == "__main__":
    main(sys.argv[1:])
