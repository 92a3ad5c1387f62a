"""The analyst at work: takes cards, error blocks and asks as they come, and at each turn looks, decides, says.

Everything that is decided is in `memory.turn`, which is pure; here is when it is asked, on what, and what becomes of
its answer. Faust calls this (`shared/adapters/faust_app.py`), and so can a test.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import msgspec

from services.monitor.analyst.kept import Kept
from services.monitor.analyst.ledger import Ledger, Remembered
from services.monitor.analyst.memory import Turn, expired, fold_blocks, turn
from services.monitor.analyst.saying import Sayings
from services.monitor.analyst.showing import Showing
from services.monitor.analyst.subject import Subject
from services.monitor.analyst.subjects import Subjects
from services.monitor.analyst.terms import LookTerms
from shared.core.asks import Ask, name_of
from shared.core.errors import Fenced, LogError, Unavailable
from shared.core.monitor_records import Account, ErrorBlock, Scorecard
from shared.core.ports import Clock
from shared.runtime.health import Health
from shared.runtime.logs import get_logger

Card = Scorecard | Account


@dataclass(frozen=True, slots=True)
class Topics:
    """Names on the broker."""

    errors: str
    asks: str


@dataclass(frozen=True, slots=True)
class Around:
    """What the analyst is seen by. `step` guards what may block: it ends a process that hangs in it."""

    health: Health
    showing: Showing
    clock: Clock
    step: Callable[[str], AbstractContextManager[None]]


class Analyst:
    """Implements `shared.core.owning.Owner`.

    Args:
        terms: how the pipeline is looked at.
        topics: what is taken.
        ledger: where memory and words go.
        subjects: what is known of versions.
        sayings: what was said last.
        around: what it is seen by.
    """

    def __init__(
        self, terms: LookTerms, topics: Topics, ledger: Ledger, subjects: Subjects, sayings: Sayings, around: Around
    ) -> None:
        self._terms, self._topics, self._ledger = terms, topics, ledger
        self._subjects, self._sayings, self._around = subjects, sayings, around
        self._kept: Remembered | None = None
        self._blocks: dict[int, ErrorBlock] = {}  # by offset; a copy of a dict is one step to other threads
        self._asks: dict[int, Ask] = {}
        self._cards: dict[bytes, tuple[bytes, Card]] = {}
        self._torn: dict[int, dict[bytes, bytes | None]] = {}  # by partition: keys, and what they had before the batch
        self._made = Kept()
        self._knows: tuple[object, ...] = ()
        self._card = msgspec.json.Decoder(Card).decode
        self._block = msgspec.json.Decoder(ErrorBlock).decode
        self._ask = msgspec.json.Decoder(Ask).decode
        self._log = get_logger("analyst")

    def begin(self) -> Mapping[str, int]:
        """See `Owner`: take the ledger over, and read on from what is remembered."""
        self._blocks.clear()
        self._asks.clear()
        self._torn.clear()
        with self._around.step("open"):
            kept = self._open()
        self._around.showing.owns(owns=True)
        self._around.health.set("assignment", ok=True, detail="this one works")
        self._log.info("takes over", errors=kept.memory.errors, asks=kept.asks, version=kept.memory.policy.version)
        return {self._topics.errors: kept.memory.errors + 1, self._topics.asks: kept.asks + 1}

    def wait(self) -> None:
        """See `Owner`: another one works."""
        if self._kept is not None:
            self._kept = None
            self._log.info("another one works")
        self._around.showing.owns(owns=False)
        self._around.health.set("assignment", ok=False, detail="another one works")
        self._around.health.turn()

    def keep(self, key: bytes, value: bytes, before: bytes | None) -> bool:
        """See `Owner`: of two values of a key the one that was read furthest counts."""
        try:
            card = self._card(value)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            self._bad("scorecards", error)
            return False
        if before is not None and self._decoded(key, before).offset > card.offset:
            return False
        if isinstance(card, Account):  # an observer says a partition's accounts after its cards
            self._torn.pop(card.partition, None)
        else:
            self._torn.setdefault(card.partition, {}).setdefault(key, before)
        self._cards[key] = (value, card)
        return True

    def whole(self, table: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
        """See `Owner`: cards of a batch whose account has not come yet are as they were before it.

        One batch changes cards of many windows. Half of it would be figures of no offset of the journal.
        """
        found = dict(table)
        for batch in self._torn.values():
            for key, before in batch.items():
                if before is None:
                    found.pop(key, None)
                else:
                    found[key] = before
        return found

    def take(self, topic: str, offset: int, value: bytes) -> None:
        """See `Owner`: error blocks and asks wait for the next turn."""
        try:
            if topic == self._topics.errors:
                self._blocks[offset] = self._block(value)
            else:
                self._asks[offset] = self._ask(value)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            self._bad("errors" if topic == self._topics.errors else "asks", error)

    def turn(self, table: Mapping[bytes, bytes], lags: Mapping[str, int]) -> list[bytes]:
        """See `Owner`.

        Raises:
            Fenced: another one has taken the ledger over: whoever is told so ends, and may come again.
        """
        began, showing = self._around.clock.monotonic(), self._around.showing
        showing.lags(lags)
        try:
            with self._around.step("turn"):
                gone = self._turned(table)
        except Fenced:
            raise
        except (LogError, Unavailable) as error:
            self._kept = None  # whether it was written is not known: the ledger is asked at the next turn
            showing.turned("failed", self._around.clock.monotonic() - began)
            self._log.warning("a turn failed and comes again", error=str(error))
            return []
        showing.turned("ok", self._around.clock.monotonic() - began)
        self._around.health.turn()
        lacking = self._subjects.lacking
        words = "; ".join(f"{what}: {why}" for what, why in lacking.items())
        self._around.health.set("model", ok=True, detail=f"goes on without {words}" if lacking else "")
        return gone

    def _turned(self, table: Mapping[bytes, bytes]) -> list[bytes]:
        kept = self._kept or self._open()
        champion = self._subjects.champion()
        cards = {key: self._decoded(key, value) for key, value in table.items()}
        self._cards = {key: self._cards[key] for key in cards}
        blocks, asked = dict(self._blocks), next(iter(dict(self._asks).items()), None)
        subjects = self._of(champion, cards, blocks)
        knows = (champion, *subjects.values(), *cards.values())
        if not (blocks or asked or self._sayings.due()) and _same(knows, self._knows):
            return []
        manual = name_of(asked[1]) if asked else ""
        memory = fold_blocks(kept.memory, list(blocks.items()), subjects, self._terms)
        done = turn(
            memory, *_told_apart(cards.values()), champion, subjects, self._terms, manual=manual, kept=self._made
        )
        self._write(kept, done, asked[0] if asked and champion else kept.asks)
        self._knows = knows
        for offset in blocks:
            self._blocks.pop(offset, None)
        if asked and champion:
            self._asks.pop(asked[0], None)
        self._told(done)
        return expired(cards.values(), done.memory.policy.now, self._terms)

    def _write(self, before: Remembered, done: Turn, asks: int) -> None:
        after = Remembered(done.memory, asks)
        said = self._sayings.of(done)
        if after != before or said:
            self._ledger.write(after, said)
        self._kept = after
        self._sayings.said(done)

    def _of(self, champion: str, cards: Mapping[bytes, Card], blocks: Mapping[int, ErrorBlock]) -> dict[str, Subject]:
        seen = {card.version for card in cards.values() if isinstance(card, Scorecard)}
        seen |= {block.version for block in blocks.values()} | ({champion} if champion else set())
        return self._subjects.of(sorted(seen))

    def _open(self) -> Remembered:
        self._kept = self._ledger.open()
        self._sayings.forget()
        for offset in [offset for offset in list(self._blocks) if offset <= self._kept.memory.errors]:
            del self._blocks[offset]
        for offset in [offset for offset in list(self._asks) if offset <= self._kept.asks]:
            del self._asks[offset]
        return self._kept

    def _decoded(self, key: bytes, value: bytes) -> Card:
        """The card of a value; the same object for the same value, as `memory.turn` reuses what it made of it."""
        known = self._cards.get(key)
        if known is None or (known[0] is not value and known[0] != value):
            known = self._cards[key] = (value, self._card(value))
        return known[1]

    def _told(self, done: Turn) -> None:
        self._around.showing.show(done)
        if done.request is not None:
            request = done.request
            self._log.info(
                "asks for retraining", id=request.id, version=request.version, trigger=request.trigger,
                reasons="; ".join(reason for verdict in request.reasons for reason in verdict.reasons),
            )  # fmt: skip

    def _bad(self, topic: str, error: Exception) -> None:
        self._around.showing.ignored(topic)
        self._log.warning("a value cannot be read and is left out", topic=topic, error=str(error))


def _told_apart(cards: Iterable[Card]) -> tuple[list[Scorecard], list[Account]]:
    both = list(cards)
    scorecards = [card for card in both if isinstance(card, Scorecard)]
    return scorecards, [card for card in both if isinstance(card, Account)]


def _same(now: Sequence[object], before: Sequence[object]) -> bool:
    """Whether these are the very same objects: what was decoded or fetched anew may say something else."""
    return len(now) == len(before) and all(one is other for one, other in zip(now, before, strict=True))
