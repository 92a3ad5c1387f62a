"""What is known of one version's errors after some blocks: evidence, alarms that stand, and one kept for later.

A pure fold over blocks, one at a time. `alarms.py` brings them into their order.
"""

from collections.abc import Sequence

import msgspec

from services.monitor.analyst import adwin
from services.monitor.analyst.cusum import Level, Member, Terms, bank, highest, step
from shared.core.baseline import UNIT, Baseline, Kind, baseline

_REMEMBERED = 32  # raised alarms


class Entry(msgspec.Struct, frozen=True, array_like=True, order=True):
    """What the detectors need of an error block; entries sort by closing time, then partition, then number."""

    closed: int
    partition: int
    number: int
    opened: int
    n: int
    errors: int
    loss: int


class Alarm(msgspec.Struct, frozen=True):
    """A rise of errors or loss, seen at the block (`at`, `partition`, `number`); times are event times in ms.

    `rise` is the mean of the `n` labels since `since`, where the rise seems to begin, less `reference`. `evidence` is
    in units of the threshold.
    """

    kind: Kind
    at: int
    partition: int
    number: int
    since: int
    n: int
    rise: float
    reference: float
    evidence: float


class Track(msgspec.Struct, frozen=True):
    """One kind's evidence. `standing`: it crossed its threshold and is not calm yet; `crossed`: how often it did."""

    members: tuple[Member, ...] = ()
    levels: tuple[Level, ...] = ()
    standing: bool = False
    crossed: int = 0


class State(msgspec.Struct, frozen=True):
    """After `labels` watched labels.

    `references` are of errors and loss; until they are complete, `learning` has the blocks so far. `window` is
    ADWIN's, where that is asked for. `kept` is an alarm that came too early or inside a cool-down. `alarms` are those
    raised, the last of them at the event time `acted` (ms).
    """

    references: tuple[Baseline, ...] = ()
    learning: tuple[tuple[int, int], ...] = ()
    errors: Track = Track()
    loss: Track = Track()
    window: adwin.Window = ()
    labels: int = 0
    kept: Alarm | None = None
    acted: int | None = None
    alarms: tuple[Alarm, ...] = ()


def begin(terms: Terms, references: Sequence[Baseline] = ()) -> State:
    """Before the first block.

    Args:
        terms: the parameters.
        references: of errors and of loss, from the judged holdout; none: the first labels are learned from.
    """
    if not references:
        return State()
    errors, loss = references
    return State((errors, loss), errors=Track(bank(errors, terms)), loss=Track(bank(loss, terms)))


def fold(state: State, entry: Entry, terms: Terms) -> State:
    """The state after one more block."""
    if terms.detector == "adwin":
        return _by_window(state, entry, terms)
    if not state.references:
        return _learned(state, entry, terms)
    errors = _followed(state.errors, entry, entry.errors, terms)
    loss = _followed(state.loss, entry, entry.loss / UNIT, terms)
    after = msgspec.structs.replace(state, errors=errors, loss=loss, labels=state.labels + entry.n)
    # Errors and loss tell of one thing: where one stands already, the other's crossing is no other alarm.
    stood = state.errors.standing or state.loss.standing
    return _raised(after, None if stood else _standing(after, entry), entry, terms)


def _learned(state: State, entry: Entry, terms: Terms) -> State:
    blocks = (*state.learning, (entry.errors, entry.loss))
    if len(blocks) * entry.n < terms.reference:
        return msgspec.structs.replace(state, learning=blocks)
    errors = baseline("errors", [block[0] for block in blocks], entry.n)
    return begin(terms, (errors, baseline("loss", [block[1] for block in blocks], entry.n)))


def _followed(track: Track, entry: Entry, total: float, terms: Terms) -> Track:
    levels = tuple(step(track.members, track.levels, (entry.n, total, entry.opened), terms.most))
    part, _ = highest(track.members, levels)
    crossed = part >= 1 and not track.standing
    standing = part >= 1 or (track.standing and part >= terms.calm)
    return Track(track.members, levels, standing, track.crossed + crossed)


def _alarm(track: Track, reference: Baseline, entry: Entry) -> Alarm:
    part, place = highest(track.members, track.levels)
    level = track.levels[place]
    rise = level.total / level.n - reference.mean if level.n else 0.0
    where = (entry.closed, entry.partition, entry.number)
    return Alarm(reference.kind, *where, level.since, level.n, rise, reference.mean, part)


def _by_window(state: State, entry: Entry, terms: Terms) -> State:
    before = adwin.mean(state.window)
    spread = state.references[0].spread if state.references else 1.0
    window, rose = adwin.add(state.window, entry.n, entry.errors, delta=terms.delta, spread=spread)
    after = msgspec.structs.replace(state, window=window, labels=state.labels + entry.n)
    alarm = None
    if rose:
        n = sum(bucket.n for bucket in window)
        where = (entry.closed, entry.partition, entry.number)
        alarm = Alarm("errors", *where, entry.opened, n, adwin.mean(window) - before, before, 1.0)
    return _raised(after, alarm, entry, terms)


def _raised(state: State, began: Alarm | None, entry: Entry, terms: Terms) -> State:
    """An alarm is raised at once, or kept until there are labels enough and the cool-down is over; never dropped."""
    kept = state.kept or began
    cooling = state.acted is not None and entry.closed - state.acted < terms.cooldown
    if cooling or state.labels < terms.minimum:
        return state if kept is state.kept else msgspec.structs.replace(state, kept=kept)
    alarm = kept or _standing(state, entry)
    if alarm is None:
        return state
    alarms = (*state.alarms, alarm)[-_REMEMBERED:]
    return msgspec.structs.replace(state, kept=None, acted=entry.closed, alarms=alarms)


def _standing(state: State, entry: Entry) -> Alarm | None:
    """The alarm that a standing track is, also one that has not become calm since the last alarm."""
    for track, reference in zip((state.errors, state.loss), state.references, strict=False):
        if track.standing:
            return _alarm(track, reference, entry)
    return None
