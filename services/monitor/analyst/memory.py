"""The analyst's memory, a value that is stored as it is, and one turn of it: all looks, and what is decided on them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from services.monitor.analyst import alarms
from services.monitor.analyst.alarms import Watch
from services.monitor.analyst.fold import State as Folded
from services.monitor.analyst.heard import Heard, begin, heard
from services.monitor.analyst.kept import Kept
from services.monitor.analyst.look import Before, Look, evidence, look_at
from services.monitor.analyst.policy import step
from services.monitor.analyst.policy_state import Evidence, State
from services.monitor.analyst.quality import Quality
from services.monitor.analyst.subject import Subject
from services.monitor.analyst.terms import LookTerms
from shared.core.baseline import Baseline
from shared.core.monitor_records import (
    BLOCK,
    Account,
    ErrorBlock,
    RetrainRequest,
    Said,
    Scorecard,
    Verdict,
    WindowFigures,
    account_key,
    scorecard_key,
)  # fmt: skip

WATCHES = 6
"""Versions that are remembered at most, beside the one in force."""


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


@dataclass(frozen=True, slots=True)
class _Known:
    """What a turn goes by."""

    heard: Heard
    now: int
    champion: str
    subjects: Mapping[str, Subject]
    terms: LookTerms
    kept: Kept

    def subject(self, version: str) -> Subject:
        return self.subjects.get(version, Subject(version))


def name_of(version: str, *, shadow: bool) -> str:
    """The name of a version in a role, in the memory."""
    return f"{version}~shadow" if shadow else version


def fold_blocks(
    memory: Memory, blocks: Sequence[tuple[int, ErrorBlock]], subjects: Mapping[str, Subject], terms: LookTerms
) -> Memory:
    """The memory with more error blocks, each with its offset in `errors`; a repeat changes nothing.

    Blocks of a version that is looked at no more are left out, and those that no observer makes.
    """
    first = begin(memory.policy.now, terms)
    grouped: dict[str, list[ErrorBlock]] = {}
    for _, block in blocks:
        name = name_of(block.version, shadow=block.shadow)
        if _fits(block) and (name in memory.watches or block.closed > first):
            grouped.setdefault(name, []).append(block)
    watches = dict(memory.watches)
    for name, found in grouped.items():
        references = _references(subjects.get(found[0].version))
        watched = _current(watches.get(name), references, terms)
        watches[name] = alarms.add(watched, found)
    last = max((offset for offset, _ in blocks), default=-1)
    return msgspec.structs.replace(memory, watches=watches, errors=max(memory.errors, last))


def turn(
    memory: Memory, cards: Iterable[Scorecard], accounts: Iterable[Account], champion: str,
    subjects: Mapping[str, Subject], terms: LookTerms, *, manual: str = "", kept: Kept | None = None,
) -> Turn:  # fmt: skip
    """Look at the champion and at every shadow, and decide.

    The same again changes nothing but what time changes.

    Args:
        memory: of the turn before.
        cards: published values, in any order and however often.
        accounts: the same.
        champion: the version in force; empty: nobody knows, so nothing is decided.
        subjects: what versions were at their training, by version.
        terms: the parameters.
        manual: an operator's request by an id of its own; empty: none.
        kept: of the turns before; it changes no answer, and makes a turn cheap where it is given the same objects.
    """
    kept = kept or Kept()
    known = heard(cards, accounts, terms, kept)
    now = max(memory.policy.now, known.now, *(before.now for before in memory.before.values()))
    with_ = _Known(known, now, champion, subjects, terms, kept)
    watches = dict(_watches(memory, with_))
    looks = tuple(_looks(msgspec.structs.replace(memory, watches=watches), with_))
    before = {name_of(one.version, shadow=one.shadow): one.before for one in looks}
    memory = msgspec.structs.replace(memory, watches=watches, before=before)
    memory, then = _then(memory, looks, with_)
    kept.sweep()
    if not champion:
        return Turn(memory=memory, looks=looks, then=then)
    asked = _evidence(memory, looks, with_, manual)
    decision = step(memory.policy, asked, terms.policy)
    return Turn(
        memory=msgspec.structs.replace(memory, policy=decision.state), looks=looks, request=decision.request, then=then,
        verdicts=tuple(msgspec.structs.replace(one, offsets=known.offsets) for one in decision.verdicts),
    )  # fmt: skip


def expired(cards: Iterable[Scorecard | Account], now: int, terms: LookTerms) -> list[bytes]:
    """The keys of cards and accounts that no look needs any more.

    Args:
        cards: all there are.
        now: event time (ms) of the last turn, `Memory.policy.now`.
        terms: the parameters.
    """
    # A look counts the labels of a window when it lets go of it: so it is kept a little longer than that.
    first = begin(now, terms) - terms.window
    return [
        scorecard_key(card) if isinstance(card, Scorecard) else account_key(card)
        for card in cards
        if card.window + card.span <= first
    ]


def _fits(block: ErrorBlock) -> bool:
    """Whether an observer can have made it."""
    return block.n == BLOCK and 0 <= block.errors <= block.n and block.loss >= 0


def _references(subject: Subject | None) -> tuple[Baseline, ...]:
    """Of errors and of loss, or nothing."""
    if subject is None or subject.reference is None:
        return ()
    found = {one.kind: one for one in subject.reference.baselines}
    return (found["errors"], found["loss"]) if len(found) == 2 else ()  # noqa: PLR2004 - both or neither


def _current(watched: Watch | None, references: tuple[Baseline, ...], terms: LookTerms) -> Watch:
    """The watch by the present terms and reference: it begins anew, with the blocks it has, where either has come."""
    fresh = alarms.watch(terms.detectors, references)
    if watched is None:
        return fresh
    came_later = not watched.settled and watched.base == Folded() and watched.base != fresh.base
    if watched.terms == terms.detectors and not came_later:
        return watched
    return alarms.folded(fresh, watched.tail)


def _watches(memory: Memory, known: _Known) -> Iterator[tuple[str, Watch]]:
    """Those that are worth remembering, each by the present terms and reference."""
    first = begin(known.now, known.terms)

    def last(name: str) -> int:
        tail = memory.watches[name].tail
        return tail[-1].closed if tail else 0

    others = sorted((name for name in memory.watches if name != known.champion), key=lambda name: (-last(name), name))
    for name in (known.champion, *[name for name in others if last(name) > first][:WATCHES]):
        if name in memory.watches:
            version = name.removesuffix("~shadow")
            yield name, _current(memory.watches[name], _references(known.subjects.get(version)), known.terms)


def _looks(memory: Memory, known: _Known) -> Iterator[Look]:
    """At the champion, and at every version that answers beside it."""
    shadows = {version for version, shadow in known.heard.versions if shadow}
    wanted = ((known.champion, False), *((version, True) for version in sorted(shadows)))
    for version, shadow in wanted:
        name = name_of(version, shadow=shadow)
        found = look_at(
            known.heard, memory.watches.get(name), known.subject(version), memory.before.get(name, Before()),
            known.terms, shadow=shadow, now=known.now, kept=known.kept,
        )  # fmt: skip
        if found is not None:
            yield found


def _evidence(memory: Memory, looks: Sequence[Look], known: _Known, manual: str) -> Evidence:
    """Of the champion's look; without one the clock and the operator still ask."""
    read = {"errors/0": memory.errors + 1} if memory.errors >= 0 else {}
    found = next((one for one in looks if not one.shadow), None)
    if found is not None:
        asked = evidence(found, manual)
        return msgspec.structs.replace(asked, offsets={**asked.offsets, **read})
    return Evidence(
        pipeline=known.terms.pipeline, version=known.champion, now=known.now, manual=manual,
        offsets={**known.heard.offsets, **read},
    )  # fmt: skip


def _then(memory: Memory, looks: Sequence[Look], known: _Known) -> tuple[Memory, tuple[WindowFigures, ...]]:
    """The champion's windows that event time has passed since the turn before, as they are known now.

    One that it passed more than a window ago is left out: how it was known then, nobody was there to see.
    """
    champion = next((one for one in looks if not one.shadow), None)
    if champion is None:
        return memory, ()
    passed = [one for one in champion.windows if memory.told.get(champion.version, 0) < one.until <= known.now]
    fresh = [one for one in passed if known.now - one.until < known.terms.window]
    told = {champion.version: max([memory.told.get(champion.version, 0), *(one.until for one in passed)])}
    return msgspec.structs.replace(memory, told=told), tuple(_said(one, champion) for one in fresh)


def _said(window: Quality, look: Look) -> WindowFigures:
    figures = {name: Said(one.value, one.low, one.high, one.n) for name, one in window.figures.items()}
    return WindowFigures(
        version=look.version, window=window.since, span=window.until - window.since, at=look.now,
        observed=window.observed, labelled=window.labelled, figures=figures, offsets=look.offsets,
    )  # fmt: skip
