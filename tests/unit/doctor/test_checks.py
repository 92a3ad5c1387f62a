"""Each fault that the doctor knows, from facts alone: it names the cause and the next command."""

import threading
import time
from typing import Any

import msgspec
import pytest

from shared.core.errors import Unavailable
from shared.core.records import BundleRef, Heartbeat, Note, Rollout
from shared.core.topic_plan import ActualTopic
from shared.core.topics import wanted
from tailrace.doctor.checks import examine
from tailrace.doctor.facts import Beat, Disk, Facts, Finding, Letters, Partition, Pinned, PipelineFacts, Server
from tailrace.doctor.gather import together
from tailrace.doctor.report import Report, text
from tailrace.stack.status import PartStatus, StackStatus
from tests.support.spec import make_spec

NOW = 1_700_000_000_000
SPEC = make_spec()
ONE = Rollout("parcels", 1, BundleRef("1", "file:///1", "a" * 64), "active", changed_at=NOW - 60_000)
TWO = Rollout("parcels", 2, BundleRef("2", "file:///2", "b" * 64), "active", changed_at=NOW - 60_000)


def beat(worker: str = "scorer-0", ago: int = 500, **said: Any) -> Beat:
    """A heartbeat that was appended `ago` ms before now."""
    values: dict[str, Any] = {"partitions": (0, 1, 2, 3), "time": NOW - ago, **said}
    return Beat(NOW - ago, Heartbeat(worker, **values), fresh=ago < 2_500)


def healthy(**changes: Any) -> PipelineFacts:
    """A pipeline with which all is well; `changes` replace what is known of it."""
    known: dict[str, Any] = {
        "topics": {w.name: ActualTopic(w.partitions, w.replication, w.config) for w in wanted(SPEC)},
        "rollouts": (ONE,),
        "notes": {p: Note(1, 1) for p in range(4)},
        "beats": (beat(),),
        "partitions": tuple(Partition(p, 10, 10, 10) for p in range(4)),
        "pinned": (),
        "members": {"tailrace-parcels-scorer-0": 1},
        "letters": Letters(1_000, {}),
    }
    return PipelineFacts(spec=SPEC, where="parcels", **(known | changes))


def facts(**changes: Any) -> Facts:
    """A machine with which all is well."""
    servers = {name: Server(address=f"{name}:1", origin="default") for name in ("kafka", "redis", "mlflow")}
    known: dict[str, Any] = {**servers, "now": NOW, "looked": 2_500, "pipeline": healthy()}
    return Facts(**(known | changes))


def only(found: list[Finding]) -> Finding:
    """The one fault among the findings."""
    faults = [finding for finding in found if not finding.ok]
    assert len(faults) == 1, faults
    return faults[0]


def of(**changes: Any) -> Finding:
    """The one fault of a pipeline with these changes."""
    return only(examine(facts(pipeline=healthy(**changes))))


def test_where_all_is_well_nothing_is_found() -> None:
    """Every check answers once, and each says that all is well."""
    found = examine(facts())
    assert [finding for finding in found if finding.ok is not True or finding.next_command] == []
    assert len({finding.check for finding in found}) == len(found) == 13
    assert text(Report.of(found, "parcels")).endswith("all is well")


@pytest.mark.parametrize("part", ["kafka", "redis", "mlflow"])
@pytest.mark.parametrize(
    ("origin", "cause", "command"),
    [
        ("default", "no embedded stack runs here", "tailrace up --detach"),
        ("killed", "was killed", "tailrace up --detach"),
        ("absent", "was started without it", "tailrace down; tailrace up --detach"),
        ("set", "the address was set", "export TAILRACE_"),
        ("stack", "it belongs to the embedded stack", "tailrace down; tailrace up --detach"),
    ],
)
def test_a_server_that_does_not_answer(part: str, origin: Any, cause: str, command: str) -> None:
    """It is named with its address; the remedy depends on whose server it is."""
    server = Server(address="here:1", origin=origin, error="refused")
    found = only(examine(facts(**{part: server})))
    assert (found.check, "here:1" in found.what, cause in found.cause) == (part, True, True)
    assert found.next_command.startswith(command)


@pytest.mark.parametrize("part", ["kafka", "redis", "mlflow"])
def test_a_server_that_lets_us_not_in(part: str) -> None:
    """A wrong password is not taken for a dead server."""
    found = only(examine(facts(**{part: Server(address="here:1", origin="set", error="WRONGPASS", denied=True)})))
    assert "lets us not in" in found.what
    assert f"TAILRACE_{part.upper()}__" in found.next_command


def test_the_log_of_a_broken_part_is_the_next_thing_to_read() -> None:
    """A server of the running stack that is down, and a worker of it, lead to their logs."""
    parts = [
        PartStatus(name=name, state="backoff", ok=False, address="", last_exit="killed by SIGKILL", log=f"/{name}.log")
        for name in ("kafka", "scorer-parcels-0")
    ]
    stack = StackStatus(ok=False, state="/s", pid=1, uptime_s=1.0, rss_mb=1.0, parts=parts)
    dead = Server(address="here:1", origin="stack", error="refused")
    found = [finding for finding in examine(facts(stack=stack, kafka=dead, pipeline=None)) if not finding.ok]
    assert [finding.check for finding in found] == ["kafka", "stack"]
    assert [finding.next_command for finding in found] == ["tail -n 20 /kafka.log", "tail -n 20 /scorer-parcels-0.log"]
    assert all("killed by SIGKILL" in finding.cause for finding in found)


def test_a_cache_that_is_not_needed_is_not_missed() -> None:
    """Without lookups nobody asks Redis."""
    spec = msgspec.structs.replace(SPEC, lookups={}, features=SPEC.features[:1])
    dead = Server(address="here:1", origin="default", error="refused")
    found = examine(facts(redis=dead, pipeline=msgspec.structs.replace(healthy(), spec=spec)))
    assert [finding.ok for finding in found if finding.check == "redis"] == [True]


def test_a_full_disk() -> None:
    """The folder, what is left, and the setting that moves it."""
    found = only(examine(facts(disks=(Disk("/state", 120, 1_000, "TAILRACE_STATE"),))))
    assert found.what == "/state: 120 MB free"
    assert "TAILRACE_STATE" in found.next_command


def test_a_misspelt_setting() -> None:
    """An unknown variable is named."""
    found = only(examine(facts(warnings=("TAILRACE_KAFAK is no setting of Tailrace and is ignored; see",))))
    assert (found.what, found.next_command) == (
        "TAILRACE_KAFAK is no setting of Tailrace and is ignored",
        "tailrace settings",
    )


def test_a_missing_topic() -> None:
    """A deleted topic is named, and how to make it again."""
    topics = dict(healthy().topics or {})
    del topics["parcels.predictions"]
    found = of(topics=topics)
    assert (found.check, found.next_command) == ("topics", "tailrace topics apply parcels")
    assert "parcels.predictions" in found.what


@pytest.mark.parametrize(
    ("topic", "partitions", "config", "said"),
    [
        ("parcels.features", 9, {}, "parcels.features has 9 partitions"),
        ("parcels.records", 4, {"message.timestamp.type": "CreateTime"}, "stamps CreateTime"),
    ],
)
def test_a_wrong_topic(topic: str, partitions: int, config: dict[str, str], said: str) -> None:
    """A wrong partition count, or stamps that retention would misread, lead to the plan."""
    topics = dict(healthy().topics or {})
    topics[topic] = ActualTopic(partitions, 1, {**topics[topic].config, **config})
    found = of(topics=topics)
    assert said in found.what
    assert found.next_command == "tailrace topics plan parcels"


def test_topics_that_are_not_co_partitioned() -> None:
    """An observation must go to the number that its record came from."""
    topics = dict(healthy().topics or {})
    topics["parcels.journal"] = ActualTopic(3, 1, topics["parcels.journal"].config)
    found = [finding for finding in examine(facts(pipeline=healthy(topics=topics))) if not finding.ok]
    assert "partition counts must be equal: parcels.records 4, parcels.journal 3, parcels.predictions 4" in [
        finding.what for finding in found
    ]


def test_another_retention() -> None:
    """A value that differs from the pipeline's wish is altered by `apply`."""
    topics = dict(healthy().topics or {})
    topics["parcels.labels"] = ActualTopic(4, 1, {**topics["parcels.labels"].config, "retention.ms": "1"})
    assert of(topics=topics).next_command == "tailrace topics apply parcels"


@pytest.mark.parametrize(
    ("rollouts", "cause"),
    [((), "no model was trained yet"), ((msgspec.structs.replace(ONE, state="revoked"),), "every version was revoked")],
)
def test_no_version_in_force(rollouts: tuple[Rollout, ...], cause: str) -> None:
    """Without a version nothing can score: train one."""
    found = of(rollouts=rollouts)
    assert (found.check, found.cause, found.next_command) == ("version", cause, "tailrace train parcels")


@pytest.mark.parametrize(
    ("rollouts", "command"),
    [((ONE,), "tailrace train parcels"), ((ONE, TWO), "tailrace rollout revoke parcels 2")],
)
def test_a_refused_model(rollouts: tuple[Rollout, ...], command: str) -> None:
    """The worker's own reason; an older version, where there is one, can act instead."""
    version = rollouts[-1].champion.version
    notes = {p: Note(len(rollouts), len(rollouts)) for p in range(4)}
    found = of(rollouts=rollouts, notes=notes, beats=(beat(refused={version: "digest: model.onnx differs"}),))
    assert (found.check, found.cause, found.next_command) == ("model", "digest: model.onnx differs", command)


def test_an_epoch_that_never_began() -> None:
    """A barrier that is missing in a partition: running the activation again completes it."""
    notes = {p: Note(2, 2) for p in range(3)} | {3: Note(1, 1)}
    found = of(rollouts=(ONE, TWO), notes=notes)
    assert (found.check, found.cause) == ("epochs", "its barrier was never written there")
    assert "partitions [3]" in found.what
    assert found.next_command.startswith("tailrace rollout activate parcels 2")


def test_an_epoch_that_has_only_just_been_announced_is_no_fault() -> None:
    """A rollout takes a few seconds."""
    young = msgspec.structs.replace(TWO, changed_at=NOW - 2_000)
    assert [f for f in examine(facts(pipeline=healthy(rollouts=(ONE, young)))) if not f.ok] == []


def test_records_wait_and_nobody_lives() -> None:
    """No heartbeat since, and when the last was."""
    waiting = (Partition(0, 5, 5, 10, waits_since=NOW - 1_000), *healthy().partitions[1:])  # type: ignore[index] # it has them
    found = of(partitions=waiting, beats=(beat(ago=90_000),), members={})
    assert (found.check, found.what) == ("group", "5 records wait and no worker is alive")
    assert (found.cause, found.next_command) == (
        "scorer-0 was the last to be heard of, 90s ago",
        "tailrace scorer parcels --workers 2",
    )


@pytest.mark.parametrize(
    ("owned", "cause"), [((1, 2, 3), "no live worker owns partitions [0]"), ((0, 1), "commit nothing")]
)
def test_a_partition_that_stands_still(owned: tuple[int, ...], cause: str) -> None:
    """Two looks at the same offset while a record waits for long; whether anybody owns it decides the cause."""
    waiting = (Partition(0, 5, 5, 10, waits_since=NOW - 30_000),)
    found = of(partitions=waiting, beats=(beat(partitions=owned),))
    assert found.check == "group"
    assert cause in found.cause
    assert "the oldest record waits for 30s" in found.what


def test_a_backlog_that_moves_is_no_fault() -> None:
    """Old records that are being worked off are said, not blamed."""
    moving = (Partition(0, 5, 900, 5_000, waits_since=NOW - 30_000),)
    found = examine(facts(pipeline=healthy(partitions=moving)))
    assert [(f.ok, f.what) for f in found if f.check == "group"] == [(True, "4,100 records wait, and it moves")]


def test_a_stopped_partition() -> None:
    """The reason of the worker that stopped it; the producer's contract is what comes next."""
    found = of(beats=(beat(stopped={"2": "1,000 dead letters in a row"}),))
    assert (found.what, found.cause) == ("scorer-0 stopped partition 2", "1,000 dead letters in a row")
    assert found.next_command.startswith("tailrace contract parcels")


@pytest.mark.parametrize(("age", "fault"), [(30_000, True), (3_000, False)])
def test_an_open_transaction(age: int, *, fault: bool) -> None:
    """Beyond 10 s it hides records from every reader; before it is business as usual."""
    found = examine(facts(pipeline=healthy(pinned=(Pinned("parcels.predictions", 1, 77, NOW - age),))))
    assert [f.what for f in found if f.ok is False] == (
        ["parcels.predictions[1] hides offset 77 and all after it for 30s"] if fault else []
    )


def test_a_hanging_transaction() -> None:
    """What nobody has ended for a minute, nobody will: the exact command that does."""
    found = examine(facts(pipeline=healthy(pinned=(Pinned("parcels.predictions", 1, 77, NOW - 90_000),))))
    (one,) = [f for f in found if f.ok is False]
    assert "hanging" in one.cause
    assert one.next_command.startswith("kafka-transactions.sh --bootstrap-server ")
    assert one.next_command.endswith(" abort --topic parcels.predictions --partition 1 --start-offset 77")


def test_two_workers_with_one_slot() -> None:
    """Two members of one client id share a transactional id."""
    found = of(members={"tailrace-parcels-scorer-0": 2})
    assert (found.check, "is in the group twice" in found.what) == ("workers", True)
    assert "--slot" in found.next_command


def test_a_worker_that_comes_and_goes() -> None:
    """Alternating fencing shows as partitions given back again and again, even if both are never seen at once."""
    beats = tuple(beat(ago=8_000 - 1_000 * i, partitions=(0,) if i % 2 == 0 else ()) for i in range(8))
    assert "gave its partitions back" in of(beats=beats).what


def test_dead_letters_rise() -> None:
    """Their share in the last hour, the commonest reason, and the command that shows the letters themselves."""
    found = of(letters=Letters(1_000, {"missing_field": 40, "not_json": 2}))
    assert found.what == "42 dead letters (4.2% of the records) in the last hour"
    assert found.cause == "mostly missing_field 40, not_json 2"
    assert found.next_command == "tailrace dlq list parcels"


def test_a_worker_whose_clock_is_off() -> None:
    """Its own time against the broker's stamp."""
    assert of(beats=(beat(time=NOW + 60_000),)).what == "the clock of scorer-0 is 60.5 s ahead of the broker's"


@pytest.mark.parametrize(("ago", "what"), [(-9_000, "behind"), (9_000, "ahead of")])
def test_our_clock_is_off(ago: int, what: str) -> None:
    """A heartbeat that came while we looked must have been appended while we looked."""
    odd = Beat(NOW - ago, Heartbeat("scorer-0", NOW - ago, (0,)), fresh=True)
    assert (
        f"the clock of this machine is {abs(ago) / 1000 - (2.5 if ago > 0 else 0):.1f} s {what}"
        in of(beats=(odd,)).what
    )


def test_what_could_not_be_read_is_unknown_and_not_well() -> None:
    """Unknown is a state of its own, told with its reason, once for all checks that share it."""
    known = PipelineFacts(spec=SPEC, where="parcels")
    unread = dict.fromkeys(PipelineFacts.__struct_fields__, "Kafka does not answer")
    report = Report.of(examine(facts(pipeline=known, unread=unread)), "parcels")
    assert not report.ok
    assert {finding.ok for finding in report.findings} == {True, None}
    assert text(report).count("because Kafka does not answer") == 1


def test_one_look_that_fails_or_hangs_stops_no_other() -> None:
    """What hangs is left behind when the time is up."""
    never = threading.Event()

    def fail() -> None:
        raise Unavailable("gone")

    begin = time.monotonic()
    done, failed = together({"good": lambda: 1, "bad": fail, "hung": never.wait}, 0.3)
    took = time.monotonic() - begin
    never.set()
    assert (done, failed) == ({"good": 1}, {"bad": "gone", "hung": "no answer within 0.3 s"})
    assert took < 5
