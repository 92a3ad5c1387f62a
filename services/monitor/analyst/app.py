"""The analyst at work: keeps cards as they come, and at each turn reads blocks and asks, looks, decides, says.

Everything that is decided is in `memory.turn`, which is pure; here is when it is asked, on what, and what becomes of
its answer. Faust calls this (`shared/adapters/faust_app.py`), and so can a test. Faust's table is fast and may lack
cards around a rebalance; what may not be lacking is read for itself (`inbox.py`, `base.py`).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from services.monitor.analyst.base import Base, Card
from services.monitor.analyst.heard import event_time
from services.monitor.analyst.inbox import Inbox, Log, Step, Topics
from services.monitor.analyst.kept import Kept
from services.monitor.analyst.ledger import Ledger, Remembered
from services.monitor.analyst.memory import Turn, expired, fold_blocks, turn
from services.monitor.analyst.policy_state import State
from services.monitor.analyst.saying import Sayings
from services.monitor.analyst.showing import Showing
from services.monitor.analyst.subject import Subject
from services.monitor.analyst.subjects import Subjects
from services.monitor.analyst.terms import LookTerms
from shared.core.asks import name_of
from shared.core.errors import Fenced, LogError, Unavailable
from shared.core.monitor_records import Account, ErrorBlock, Scorecard
from shared.core.ports import Clock
from shared.runtime.health import Health
from shared.runtime.logs import get_logger


@dataclass(frozen=True, slots=True)
class Around:
    """What the analyst is seen by, and when it looks.

    `step` guards what may block: it ends a process that hangs in it. Between two looks lies so much event time as
    `look` says (ms); 0: it looks at every turn.
    """

    health: Health
    showing: Showing
    clock: Clock
    step: Step
    look: int = 0


class Analyst:
    """Implements `shared.core.owning.Owner`.

    Args:
        terms: how the pipeline is looked at.
        topics: what is read.
        log: opens a topic to be read.
        ledger: where memory and words go.
        subjects: what is known of versions.
        sayings: what was said last.
        around: what it is seen by.
    """

    def __init__(
        self, terms: LookTerms, topics: Topics, log: Callable[[str], Log], ledger: Ledger, subjects: Subjects,
        sayings: Sayings, around: Around,
    ) -> None:  # fmt: skip
        self._terms, self._topics, self._ledger = terms, topics, ledger
        self._subjects, self._sayings, self._around = subjects, sayings, around
        self._inbox = Inbox(topics, log, around.step, self._bad)
        self._kept: Remembered | None = None
        self._base: Base | None = None
        self._cards: dict[bytes, tuple[bytes, Card]] = {}
        self._torn: dict[int, dict[bytes, bytes | None]] = {}  # by partition: keys, and what they had before the batch
        self._made = Kept()
        self._knows: tuple[object, ...] = ()
        self._card = msgspec.json.Decoder(Card).decode
        self._log = get_logger("analyst")

    def begin(self) -> None:
        """See `Owner`: the next turn takes the ledger over, and reads on from what is remembered."""
        self._kept, self._base = None, None
        self._torn.clear()  # the rest of a batch may never come; all of it is on the topic

    def wait(self) -> None:
        """See `Owner`: another one works."""
        if self._base is not None:
            self._kept, self._base = None, None
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

    def turn(self, table: Mapping[bytes, bytes], lag: int) -> list[bytes]:
        """See `Owner`.

        Raises:
            Fenced: another one has taken the ledger over: whoever is told so ends, and may come again.
        """
        began, showing = self._around.clock.monotonic(), self._around.showing
        try:
            kept, base = self._taken_over()
            showing.lags({self._topics.cards: lag, **self._inbox.take()})
            with self._around.step("turn"):
                gone = self._turned(kept, base, table)
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

    def close(self) -> None:
        """Let what is read from go."""
        self._inbox.close()

    def _taken_over(self) -> tuple[Remembered, Base]:
        """What is remembered, and what the table may lack."""
        if self._kept is None:
            with self._around.step("open"):
                self._kept = self._ledger.open()
            self._inbox.begin(self._kept.memory.errors, self._kept.asks)
            self._sayings.forget()
        if self._base is None:
            self._base = Base(self._inbox.cards())
            self._around.showing.owns(owns=True)
            self._around.health.set("assignment", ok=True, detail="this one works")
            memory = self._kept.memory
            self._log.info("takes over", errors=memory.errors, asks=self._kept.asks, version=memory.policy.version)
        return self._kept, self._base

    def _turned(self, kept: Remembered, base: Base, table: Mapping[bytes, bytes]) -> list[bytes]:
        champion, inbox = self._subjects.champion(), self._inbox
        decoded = {key: self._decoded(key, value) for key, value in table.items()}
        self._cards = {key: self._cards[key] for key in decoded}
        cards, asked = base.under(decoded), next(iter(inbox.asks), None)
        if not asked and self._early(kept.memory.policy, champion, cards.values()):
            return []
        subjects = self._of(champion, cards, [block for _, block in inbox.blocks])
        knows = (champion, *subjects.values(), *cards.values())
        if not (inbox.blocks or asked or self._sayings.due()) and _same(knows, self._knows):
            return []
        manual = name_of(asked[1]) if asked else ""
        memory = fold_blocks(kept.memory, inbox.blocks, subjects, self._terms)
        memory = msgspec.structs.replace(memory, errors=inbox.last_block)  # also behind what cannot be read
        done = turn(
            memory, *_told_apart(cards.values()), champion, subjects, self._terms, manual=manual, kept=self._made
        )
        decided = asked[0] if asked and champion else None
        self._write(kept, done, kept.asks if decided is None else decided)
        self._knows = knows
        inbox.done(decided)
        self._told(done)
        over = expired(cards.values(), done.memory.policy.now, self._terms)
        base.drop(over)
        return over

    def _early(self, last: State, champion: str, cards: Iterable[Card]) -> bool:
        """Whether event time has not come to the next look: what is seen by then does not hang on our own pace.

        A new version is looked at when it comes: its clock begins then.
        """
        span = self._around.look
        return bool(span) and champion == last.version and event_time(cards) // span <= last.now // span

    def _write(self, before: Remembered, done: Turn, asks: int) -> None:
        after = Remembered(done.memory, asks)
        said = self._sayings.of(done)
        if after != before or said:
            self._ledger.write(after, said)
        self._kept = after
        self._sayings.said(done)

    def _of(self, champion: str, cards: Mapping[bytes, Card], blocks: Iterable[ErrorBlock]) -> dict[str, Subject]:
        seen = {card.version for card in cards.values() if isinstance(card, Scorecard)}
        seen |= {block.version for block in blocks} | ({champion} if champion else set())
        return self._subjects.of(sorted(seen))

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
