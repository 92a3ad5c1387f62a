"""Random schedules of two workers over the log in memory: kills, stalls, rebalances, failed calls, barriers.

A failing schedule prints its seed; `Schedule(seed, guarantee).run()` repeats it exactly.
"""

from collections.abc import Iterable
from random import Random

import pytest

from shared.core.errors import Abortable, Fatal, Fenced, Indefinite, TailraceError, Unavailable
from shared.core.ports import Part, Result
from shared.core.rollout import last_application
from shared.runtime.loop import Loop
from shared.runtime.probe import Probe
from shared.testing.faults import Crash
from tests.support.loops import AT_LEAST, EXACTLY, FreshToken, Node, World, drain, rollout, score

SCHEDULES = 300
STEPS = 60
PARTITIONS = 3


class Schedule:
    """One seeded run. The chooser acts between turns, and in the middle of them: at marks and within the step."""

    def __init__(self, seed: int, guarantee: str, *, revoke: bool = False, kind: type[Loop] = Loop) -> None:
        self.random = Random(seed)
        self.world = World(partitions=PARTITIONS, guarantee=guarantee, max_batch=self.random.choice([1, 3, 8, 50]))
        self.live: dict[int, Node] = {}
        self.revoke, self.revoked, self.epoch = revoke, False, 1
        self.busy: list[int] = []  # slots in the middle of a turn
        self.calm, self.kind = False, kind

    def run(self) -> World:
        """Trouble, then peace: all records are worked off."""
        for slot in (0, 1):
            self.start(slot)
        for _ in range(STEPS):
            self.act()
            self.check_offsets()
        self.calm = True
        self.world.clock.advance(61)
        for slot in (0, 1):
            self.start(slot)
        drain(*self.live.values(), turns=200)
        return self.world

    def act(self) -> None:
        """One random thing."""
        actions = (
            [self.turn] * 8 + [self.send] * 4 + [self.kill, self.expel, self.scramble, self.fail, self.fail, self.later]
        )
        if self.busy:
            actions += [self.stall] * 3
        if self.epoch == 1 or self.revoke:
            actions += [self.roll]
        self.random.choice(actions)()

    def start(self, slot: int) -> None:
        """A new process for this slot; the session of its predecessor ends some time."""
        old = self.live.pop(slot, None)
        if old is not None:
            self.world.group.remove(old.source.member)
        self.live[slot] = self.world.node(slot, step=self.step, mark=self.mark, kind=self.kind)

    def turn(self) -> None:
        """A worker turns, unless it is in the middle of a turn already."""
        slot = self.random.choice((0, 1))
        if slot in self.busy:
            return
        self.busy.append(slot)
        try:
            self.live[slot].loop.turn()
        except (Crash, Fenced):  # fenced twice within a minute: it gives way and is started again
            self.start(slot)
        finally:
            self.busy.remove(slot)

    def step(self, part: Part) -> Result:
        """The step, with trouble elsewhere meanwhile."""
        self.mark("step")
        return score(part)

    def mark(self, name: str) -> None:
        """At any point of a turn: something happens elsewhere, or this process dies."""
        del name
        if self.calm or self.random.random() > 0.12:
            return
        if self.random.random() < 0.3:
            raise Crash
        for _ in range(self.random.randint(1, 4)):
            self.act()

    def send(self) -> None:
        """A few records, some of them bad."""
        bodies = [self.random.choice([b"x", b"x", b"x", b"bad", b"poison"]) for _ in range(self.random.randint(1, 6))]
        self.world.send(*bodies, partition=self.random.randrange(PARTITIONS))

    def kill(self) -> None:
        """A process dies between two turns; its session ends now."""
        slot = self.random.choice((0, 1))
        if slot not in self.busy:
            self.start(slot)

    def expel(self) -> None:
        """A worker stood still for longer than its session; it may come back in the background."""
        node = self.random.choice(list(self.live.values()))
        self.world.group.remove(node.source.member)
        if self.random.random() < 0.5:
            node.source.rejoin()

    def stall(self) -> None:
        """A worker stands still with a batch in hand until the others did its work; then it wakes."""
        node = self.live[self.busy[0]]
        self.world.group.remove(node.source.member)
        for _ in range(self.random.randint(1, 3)):
            self.turn()
        if self.random.random() < 0.7:
            node.source.rejoin()

    def scramble(self) -> None:
        """Partitions move."""
        self.world.group.scramble(self.random)

    def later(self) -> None:
        """Time passes: open transactions may time out."""
        self.world.clock.advance(self.random.choice([0.1, 4.0, 15.0, 61.0]))

    def fail(self) -> None:
        """A call of one worker will fail."""
        node = self.random.choice(list(self.live.values()))
        choices: list[tuple[str, TailraceError, bool]] = [
            ("begin", Fatal("f", transient=True), False),
            ("flush", Abortable("a", transient=True), self.random.random() < 0.5),
            ("send_offsets", Abortable("a", transient=True), True),
            ("commit", Indefinite("i", transient=True), self.random.random() < 0.5),
            ("commit", Abortable("a"), False),
            ("abort", Indefinite("i", transient=True), self.random.random() < 0.5),
            ("renew", Fatal("f", transient=True), self.random.random() < 0.5),
        ]
        if self.world.guarantee == AT_LEAST:
            choices = [("flush", Fatal("f", transient=True), self.random.random() < 0.5), choices[-1]]
            node.source.faults.add("commit", Abortable("a", transient=True), after=self.random.random() < 0.5)
        if self.random.random() < 0.2:
            node.source.faults.add("rewind", Unavailable("u"))
        call, error, after = self.random.choice(choices)
        node.sink.faults.add(call, error, after=after)

    def roll(self) -> None:
        """A barrier into each partition, one by one as a controller writes them; or the epoch is withdrawn."""
        if self.epoch == 1:
            self.epoch = 2
            self.world.table.put(rollout(2))
            self.world.barrier(2)
        elif self.revoke:
            self.revoked = True
            self.world.table.put(rollout(2, "revoked"))

    def check_offsets(self) -> None:
        """I3: no committed offset is ahead of its outcomes. I5: nothing that a reader sees was aborted."""
        counts = self.world.outcomes()
        for partition, offset in self.world.inputs():
            if offset < self.world.offset(partition):
                assert counts[partition, offset] >= 1, f"offset {partition}/{offset} is committed without an outcome"
        for topic in ("out", "dlq", "rollouts"):
            assert all(m.transaction is None or m.transaction.state == "committed" for m in self.world.log.read(topic))


def seeds(offset: int, n: int = SCHEDULES) -> Iterable[int]:
    """Seeds of one kind of schedule."""
    return range(offset, offset + n)


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three hundred schedules tell too much."""

    class Silent:
        """A logger that says nothing."""

        def __getattr__(self, _: str) -> object:
            return lambda *_args, **_fields: None

    original = Probe.__init__

    def init(self: Probe, **arguments: object) -> None:
        original(self, **arguments)  # type: ignore[arg-type] # passed on as they came
        self._log = Silent()  # type: ignore[assignment] # has every method

    monkeypatch.setattr(Probe, "__init__", init)


def check_order(world: World) -> None:
    """I4: the predictions of a partition appear in the order of its records."""
    for partition in range(PARTITIONS):
        offsets = [o for p, o, _ in world.predictions() if p == partition]
        assert offsets == sorted(offsets)


def check_provenance(world: World) -> None:
    """I8: each prediction has the version that the entries of `rollouts` give its offset."""
    known = world.applications()
    for partition, offset, epoch in world.predictions():
        assert last_application(known, partition, offset).acting == epoch, f"{partition}/{offset}"


@pytest.mark.parametrize("block", range(10))
def test_exactly_once_and_one_version_change_a_partition(block: int) -> None:
    """I1 to I5, I8: after any trouble each record has one outcome, and a barrier changes the version exactly there."""
    for seed in seeds(block * 30, 30):
        schedule = Schedule(seed, EXACTLY)
        try:
            world = schedule.run()
            assert world.outcomes() == dict.fromkeys(world.inputs(), 1)
            check_order(world)
            check_provenance(world)
            barriers = {m.partition(): m.offset() for m in world.log.read("in") if m.headers()}
            for partition, offset, epoch in world.predictions():
                assert epoch == (2 if offset > barriers.get(partition, 1 << 60) else 1), f"{partition}/{offset}"
        except BaseException:
            print(f"seed {seed}")
            raise


@pytest.mark.parametrize("block", range(4))
def test_exactly_once_under_revocations(block: int) -> None:
    """I1 to I5, I8: the same with an epoch that is withdrawn at some moment; `rollouts` explains every version."""
    for seed in seeds(10_000 + block * 25, 25):
        schedule = Schedule(seed, EXACTLY, revoke=True)
        try:
            world = schedule.run()
            assert world.outcomes() == dict.fromkeys(world.inputs(), 1)
            check_order(world)
            check_provenance(world)
        except BaseException:
            print(f"seed {seed}")
            raise


@pytest.mark.parametrize("block", range(4))
def test_at_least_once_never_loses(block: int) -> None:
    """I1 to I3 without the upper bound: each record has one outcome or more."""
    for seed in seeds(20_000 + block * 25, 25):
        schedule = Schedule(seed, AT_LEAST)
        try:
            world = schedule.run()
            assert set(world.outcomes()) == world.inputs()
        except BaseException:
            print(f"seed {seed}")
            raise


def test_schedules_find_a_planted_bug() -> None:
    """With the group's metadata taken at the delivery some of a few hundred schedules double a record."""
    doubled = 0
    for seed in seeds(0, 150):
        world = Schedule(seed, EXACTLY, kind=FreshToken).run()
        doubled += max(world.outcomes().values()) > 1
    assert doubled > 0
