"""What goes onto the topics after a turn: verdicts that changed, and all of them once in a while."""

import msgspec

from services.monitor.analyst.memory import Turn
from shared.core.monitor_records import Verdict, figures_key, verdict_key
from shared.core.ports import Block, Clock

AGAIN = 60.0  # s after which all verdicts are said again: readers see by their age that somebody still looks
_encode = msgspec.json.Encoder().encode


class Sayings:
    """Remembers what was said, so that only news is.

    Args:
        verdicts: the topic of verdicts and windows' figures.
        retrain: the topic of requests.
        clock: for how long ago all was said.
    """

    def __init__(self, verdicts: str, retrain: str, clock: Clock) -> None:
        self._verdicts, self._retrain, self._clock = verdicts, retrain, clock
        self._last: dict[bytes, Verdict] = {}
        self._all_at = float("-inf")

    def forget(self) -> None:
        """Whether what was said last was heard is not known: say all again."""
        self._last.clear()
        self._all_at = float("-inf")

    def due(self) -> bool:
        """Whether all is to be said again."""
        return self._clock.monotonic() - self._all_at >= AGAIN

    def of(self, turn: Turn) -> list[Block]:
        """What is to be said of this turn; `said` is told once it was."""
        again = self.due()
        new = {verdict_key(verdict): verdict for verdict in turn.verdicts}
        news = {key: verdict for key, verdict in new.items() if again or _differs(self._last.get(key), verdict)}
        blocks = []
        if news or turn.then:
            keys = [*news, *map(figures_key, turn.then)]
            blocks.append(Block(self._verdicts, keys, list(map(_encode, [*news.values(), *turn.then]))))
        if turn.request is not None:
            blocks.append(Block(self._retrain, [turn.request.pipeline.encode()], [_encode(turn.request)]))
        return blocks

    def said(self, turn: Turn) -> None:
        """All of this turn stands on the topics."""
        if turn.verdicts and self.due():
            self._all_at = self._clock.monotonic()
        self._last = {verdict_key(verdict): verdict for verdict in turn.verdicts}


def _differs(before: Verdict | None, now: Verdict) -> bool:
    """Event time alone is no news."""
    return before is None or msgspec.structs.replace(before, at=now.at, offsets=now.offsets) != now
