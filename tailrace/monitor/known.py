"""What the monitor's topics say, of each key what counts: filled message by message, whatever comes twice or broken."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import msgspec

from services.monitor.analyst.panes import latest
from shared.core.monitor_records import (
    Account,
    ErrorBlock,
    RetrainRequest,
    Scorecard,
    Verdict,
    WindowFigures,
    account_key,
    scorecard_key,
)
from shared.core.ports import Message
from shared.core.records import Rollout
from shared.core.topics import TopicName

SOURCES: tuple[TopicName, ...] = ("models", "scorecards", "errors", "verdicts", "retrain")
_TYPES: dict[TopicName, Any] = {
    "models": Rollout,
    "scorecards": Scorecard | Account,
    "errors": ErrorBlock,
    "verdicts": Verdict | WindowFigures,
    "retrain": RetrainRequest,
}
_DECODE = {name: msgspec.json.Decoder(kind).decode for name, kind in _TYPES.items()}
_BROKEN = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


@dataclass(slots=True)
class Known:
    """Everything read so far. `logged` is the log-append time (ms) of the newest value of each topic.

    `unreadable` counts values that nobody can read; `lacking` are topics that do not exist.
    """

    rollouts: dict[int, Rollout] = field(default_factory=dict)
    cards: dict[bytes, Scorecard] = field(default_factory=dict)
    accounts: dict[bytes, Account] = field(default_factory=dict)
    blocks: list[tuple[int, ErrorBlock]] = field(default_factory=list)
    verdicts: dict[tuple[str, str], Verdict] = field(default_factory=dict)
    then: dict[tuple[str, int], WindowFigures] = field(default_factory=dict)
    requests: dict[str, RetrainRequest] = field(default_factory=dict)
    logged: dict[TopicName, int] = field(default_factory=dict)
    unreadable: Counter[TopicName] = field(default_factory=Counter)
    lacking: tuple[TopicName, ...] = ()

    def take(self, name: TopicName, message: Message) -> None:
        """Take one message in; deletions are passed over, as only retention and compaction make them."""
        value = message.value()
        if value is None:
            return
        try:
            told = _DECODE[name](value)
        except _BROKEN:
            self.unreadable[name] += 1
            return
        self.logged[name] = max(self.logged.get(name, 0), message.timestamp()[1])
        self._put(told, message.offset())

    def _put(self, told: Any, offset: int) -> None:
        match told:
            case Scorecard():
                key = scorecard_key(told)
                (self.cards[key],) = latest(one for one in (self.cards.get(key), told) if one is not None)
            case Account():
                before = self.accounts.get(account_key(told))
                if before is None or _further(told) >= _further(before):
                    self.accounts[account_key(told)] = told
            case ErrorBlock():
                self.blocks.append((offset, told))
            case Verdict():
                self.verdicts[told.version, told.metric] = told
            case WindowFigures():
                self.then[told.version, told.window] = told
            case RetrainRequest():
                self.requests[told.id] = told
            case Rollout():
                self.rollouts[told.epoch] = told

    def champion(self) -> str:
        """The version that acts: of the newest active epoch; else the one with the newest observations; else none."""
        active = [rollout for _, rollout in sorted(self.rollouts.items()) if rollout.state == "active"]
        if active:
            return active[-1].champion.version
        seen = [card for card in self.cards.values() if not card.shadow and card.sums.n]
        return max(seen, key=lambda card: (card.window, card.version)).version if seen else ""


def _further(account: Account) -> tuple[int, bool, int, bool]:
    # A replay may publish an account again, with a gap known by then: that is the one to believe.
    return (account.offset, account.closed, account.watermark, not account.complete)
