"""The present picture of a pipeline: from what is on the topics, by the same code as the analyst's, alive or not."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from services.monitor.analyst.heard import Heard, heard
from services.monitor.analyst.kept import Kept
from services.monitor.analyst.look import Before, Look, look_at
from services.monitor.analyst.memory import Memory, fold_blocks, name_of, turn
from services.monitor.analyst.panes import Pane, together
from services.monitor.analyst.policy_state import RANK
from services.monitor.analyst.subject import Subject
from services.monitor.analyst.terms import LookTerms, terms_of
from shared.core.bundle import Manifest
from shared.core.monitor_records import RetrainRequest, Sums, Verdict, WindowFigures
from shared.core.pipeline import PipelineSpec
from tailrace.monitor.known import Known


@dataclass(frozen=True, slots=True)
class Standing:
    """A verdict of the version in force. `said`: by the analyst; else worked out here. `unknown`: nobody can say."""

    verdict: Verdict
    said: bool
    unknown: bool


@dataclass(frozen=True, slots=True)
class Picture:
    """Everything that a screen or a page shows. Times are ms of event time.

    `looks` has the version in force first, then shadows and former versions, the newest first; `heard` has all their
    windows. `standing` are verdicts on the version in force, the worst first. `request` is the newest one about it.
    """

    spec: PipelineSpec
    terms: LookTerms
    known: Known
    now: int
    champion: str
    looks: tuple[Look, ...]
    heard: Heard
    standing: tuple[Standing, ...]
    request: RetrainRequest | None
    subjects: Mapping[str, Subject]
    manifests: Mapping[str, Manifest]
    refused: Mapping[str, str]

    @property
    def front(self) -> Look | None:
        """The look at the version in force."""
        return next((one for one in self.looks if not one.shadow and one.version == self.champion), None)

    def windows(self, version: str, *, shadow: bool = False) -> list[Pane]:
        """The windows of a version in one role, the oldest first."""
        return [pane for pane in self.heard.versions.get((version, shadow), ()) if pane.window <= self.now]

    def sums(self, between: tuple[int, int]) -> Sums:
        """All that the version in force has in windows of a span of event time."""
        first, last = between
        return together(p.sums for p in self.windows(self.champion) if first <= p.window and p.until <= last)

    def then(self, version: str) -> list[WindowFigures]:
        """The figures of a version's windows as they were known at their ends, the oldest first."""
        return sorted((f for f in self.known.then.values() if f.version == version), key=lambda f: f.window)


class Painter:
    """Draws pictures of one pipeline; error blocks are folded once, however often it draws."""

    def __init__(self, spec: PipelineSpec) -> None:
        self._spec, self._terms = spec, terms_of(spec)
        self._memory, self._folded, self._kept = Memory(), 0, Kept()

    def draw(
        self, known: Known, subjects: Mapping[str, Subject],
        manifests: Mapping[str, Manifest] | None = None, refused: Mapping[str, str] | None = None,
    ) -> Picture:  # fmt: skip
        """The picture by now.

        Args:
            known: what the topics say; only ever more of it from call to call.
            subjects: versions at their training.
            manifests: of their bundles.
            refused: versions of which nothing is known, and why.
        """
        self._memory = fold_blocks(self._memory, known.blocks[self._folded :], subjects, self._terms)
        self._folded = len(known.blocks)
        cards, accounts, kept = tuple(known.cards.values()), tuple(known.accounts.values()), self._kept
        champion = known.champion()
        # From the watches alone, so without what a turn remembers: verdicts are of this moment.
        turned = turn(self._memory, cards, accounts, champion, subjects, self._terms, kept=kept)
        found = heard(cards, accounts, self._terms, kept)
        looks = (*turned.looks, *self._former(found, turned.looks, subjects))
        return Picture(
            self._spec, self._terms, known, found.now, champion, looks, found,
            _standing(known, turned.verdicts, champion, found.now, self._terms), _request(known, champion),
            subjects, manifests or {}, refused or {},
        )  # fmt: skip

    def _former(self, found: Heard, looks: Iterable[Look], subjects: Mapping[str, Subject]) -> Iterator[Look]:
        """Looks at versions that the analyst decides nothing about any more, the newest first."""
        seen = {(one.version, one.shadow) for one in looks}
        others = sorted((who for who in found.versions if who not in seen), key=lambda who: who[0])
        for version, shadow in sorted(others, key=lambda who: -found.versions[who][-1].window):
            watched = self._memory.watches.get(name_of(version, shadow=shadow))
            subject = subjects.get(version, Subject(version))
            one = look_at(
                found, watched, subject, Before(), self._terms, shadow=shadow, now=found.now, kept=self._kept
            )  # fmt: skip
            if one is not None:
                yield one


def _standing(
    known: Known, found: Iterable[Verdict], champion: str, now: int, terms: LookTerms
) -> tuple[Standing, ...]:
    """What the analyst said, and what is found here, the worse of both; what it said long ago does not count.

    It holds a verdict up for a while, so that it is calm; a picture without memory cannot. But who said something more
    than that while ago is dead, and what it said is no longer so.
    """
    made = {verdict.metric: Standing(verdict, said=False, unknown=_unknown(verdict)) for verdict in found}
    for (version, metric), verdict in known.verdicts.items():
        if version != champion or now - verdict.at > terms.policy.settle:
            continue
        here = made.get(metric)
        if here is None or RANK[verdict.verdict] >= RANK[here.verdict.verdict]:
            made[metric] = Standing(verdict, said=True, unknown=_unknown(verdict))
    return tuple(sorted(made.values(), key=lambda s: (-RANK[s.verdict.verdict], s.unknown, s.verdict.metric)))


def _unknown(verdict: Verdict) -> bool:
    return verdict.verdict == "ok" and any(reason.startswith("unknown") for reason in verdict.reasons)


def _request(known: Known, champion: str) -> RetrainRequest | None:
    """The newest request about the version in force: once another one is in force, it has been answered."""
    return max((r for r in known.requests.values() if r.version == champion), key=lambda r: (r.at, r.id), default=None)
