"""The analyst's memory, a value that is stored as it is, and one turn of it: all looks, and what is decided on them."""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from services.monitor.analyst.alarms import Watch
from services.monitor.analyst.look import Before, Look
from services.monitor.analyst.policy_state import State
from services.monitor.analyst.subject import Subject
from services.monitor.analyst.terms import LookTerms
from shared.core.monitor_records import Account, ErrorBlock, RetrainRequest, Scorecard, Verdict, WindowFigures


class Memory(msgspec.Struct, frozen=True):
    """All that is remembered but for the cards.

    `watches` are by version, a shadow's by `<version>~shadow`, and `before` alike; `errors` is the last offset of the
    topic `errors` that is in them; `told` the end (ms) of the last window whose figures were published, by version.
    """

    watches: dict[str, Watch] = {}
    policy: State = State()
    before: dict[str, Before] = {}
    errors: int = -1
    told: dict[str, int] = {}


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """What one turn gives: the memory to go on from, the looks, and what is to be published."""

    memory: Memory
    looks: tuple[Look, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    request: RetrainRequest | None = None
    then: tuple[WindowFigures, ...] = ()


def fold_blocks(
    memory: Memory, blocks: Sequence[tuple[int, ErrorBlock]], subjects: Mapping[str, Subject], terms: LookTerms
) -> Memory:
    """The memory with more error blocks, each with its offset in `errors`; a repeat changes nothing."""
    raise NotImplementedError


def turn(
    memory: Memory, cards: Iterable[Scorecard], accounts: Iterable[Account], champion: str,
    subjects: Mapping[str, Subject], terms: LookTerms, *, manual: str = "",
) -> Turn:  # fmt: skip
    """Look at the champion and at every shadow, and decide.

    Args:
        memory: of the turn before.
        cards: published values, in any order and however often.
        accounts: the same.
        champion: the version in force; empty: nobody knows.
        subjects: what versions were at their training, by version.
        terms: the parameters.
        manual: an operator's request by an id of its own; empty: none.
    """
    raise NotImplementedError


def expired(cards: Iterable[Scorecard | Account], now: int, terms: LookTerms) -> list[bytes]:
    """The keys of cards and accounts that no look needs any more."""
    raise NotImplementedError
