"""Dead letters on a real broker: counted, shown byte by byte, each replayed once, whatever ends a replay (B43)."""

import base64
import os
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Message

from tests.support.letters import Post, Sample, make_post
from tests.support.wait import until

pytestmark = pytest.mark.system
STEPS = ("begun", "half", "produced", "flushed", "committed")
N = 120
TRACE = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def post(kafka: str, tmp_path: Path, unique: Callable[[str], str]) -> Post:
    """A pipeline with topics and without a model."""
    return make_post(tmp_path, unique("d").replace("-", "_"), kafka)


def sample(i: int, reason: str = "out_of_range") -> Sample:
    """The i-th bad record, with a trace."""
    return f"k{i % 7}".encode(), b"\xff\x00 record %d" % i, reason, [("traceparent", TRACE), ("x", b"lost")]


def bodies(messages: list[Message]) -> "Counter[bytes | None]":
    """How often each value stands there."""
    return Counter(m.value() for m in messages)


def headers_of(message: Message) -> list[tuple[str, bytes]]:
    """Of a record."""
    given: Any = message.headers() or []
    return list(given)


def test_what_is_wrong_is_one_line(post: Post) -> None:
    """A wrong pipeline, topic, position, reason or date ends in one line that names it, exit 2."""
    post.put([sample(0)])
    for words, named in (
        (("list", "--topic", "records"), "records is no dead-letter topic"),
        (("list", "--reason", "not_jsn"), "did you mean not_json?"),
        (("list", "--since", "yesterday"), "--since: 'yesterday' is no date"),
        (("show",), "which letters?"),
        (("show", "records.dlq[0]"), "is no position"),
        (("show", "0@1"), "no dead letter stands at"),
        (("show", "99@0"), "no dead letter stands at"),
        (("show", "models[0]@0"), "models is no dead-letter topic"),
        (("replay", "--position", "other.records.dlq[0]@0"), "is no dead-letter topic"),
        (("replay", "--position", "0@7"), "[0]@7"),
        (("replay", "--position", "0@0", "--position", "features.dlq[0]@0"), "several topics"),
        (("replay", "--force"), "--force goes with --position"),
    ):
        done = post.dlq(*words, code=2)
        lines = done.stderr.decode().strip().splitlines()
        assert (b"", 1) == (done.stdout, len(lines)), lines
        assert named in lines[0], lines


def test_a_ledger_that_cannot_be_trusted_stops_everything(post: Post) -> None:
    """A message that is no line of the ledger, or no ledger at all: one line that says what to do; nothing is sent."""
    post.put([sample(0)])
    post.send("dlq.replayed", [(b"k", b"junk"), (b"gone", None)])
    for words in (("list",), ("replay",), ("show", "0@0")):
        said = post.dlq(*words, code=2).stderr.decode()
        assert "is no line of the ledger" in said
        assert len(said.strip().splitlines()) == 1
    assert post.read("records") == []
    bare = Post(post.spec, post.folder.with_name("bare"), post.kafka)
    bare.folder.mkdir()
    text = (post.folder / "pipeline.yaml").read_text().replace(post.spec.name, "bare_of_topics")
    (bare.folder / "pipeline.yaml").write_text(text)
    assert "run `tailrace topics apply" in bare.dlq("list", code=2).stderr.decode()


def test_nothing_to_do_is_no_fault(post: Post) -> None:
    """Empty topics: no letters, nothing replayed, exit 0."""
    assert "no letters" in post.dlq("list").stdout.decode()
    assert "nothing to do" in post.dlq("replay").stdout.decode()
    assert post.json("replay", "--topic", "features.dlq")["sent"] == 0
    assert post.json("show", "--reason", "poison") == []


def test_list_counts_what_stands_there(post: Post) -> None:
    """Every letter counts under its reason and topic, with times, an example, and what was replayed apart."""
    post.put([sample(i) for i in range(30)] + [sample(i, "not_json") for i in range(12)])
    post.put([(b"weather:north", b"{", "not_json", None)], "features.dlq", partition=1)
    post.json("replay", "--reason", "out_of_range", "--limit", "10")
    records, features, labels = post.json("list")
    assert (records["letters"], records["replayed"], features["letters"], labels["letters"]) == (42, 10, 1, 0)
    counted = [(g["reason"], g["count"], g["replayed"]) for g in records["reasons"]]
    assert counted == [("out_of_range", 30, 10), ("not_json", 12, 0)]
    group = records["reasons"][0]
    assert group["example"] == f"{post.spec.name}.records.dlq[0]@29"
    assert 0 < group["first"] <= group["last"]
    assert "outside its bounds" in group["meaning"]
    (only,) = post.json("list", "--topic", "records.dlq", "--reason", "not_json", "--since", "1h")
    assert only["letters"] == 12
    (none,) = post.json("list", "--topic", "records.dlq", "--until", "1h")
    assert none["letters"] == 0


AWKWARD = (b"", b"\x00\xff\x1b[31m\r\n", b"\xef\xbb\xbf{}", b'{"id": "\xe9"}', b"[" * 100_000, b"x" * 900_000)


def test_show_and_replay_keep_the_exact_bytes_and_spare_the_terminal(post: Post) -> None:
    """Raw, in a file, in JSON and replayed a body is what was sent; as text it is escaped; none is said to be none."""
    post.put([(b"k\x1b", body, "not_json", None) for body in AWKWARD] + [(None, None, "empty", None)])
    post.put([(b"k", b"x" * 900_001, "too_large", None)], partition=1)
    for i, body in enumerate(AWKWARD):
        assert body == post.dlq("show", f"0@{i}", "--raw").stdout
        (shown,) = post.json("show", f"{post.spec.name}.records.dlq[0]@{i}")
        assert body == base64.b64decode(shown["body"])
    assert post.json("replay")["sent"] == len(AWKWARD) - 1
    assert bodies(post.read("records")) == Counter(body for body in AWKWARD if body)
    path = post.folder / "body"
    post.dlq("show", "records.dlq[0]@1", "--out", str(path))
    assert path.read_bytes() == AWKWARD[1]
    text = post.dlq("show", "--reason", "not_json").stdout
    assert b"\x1b" not in text
    assert b"\\x1b[31m\\x0d\\x0a" in text
    assert text.count(b"a detail") == len(AWKWARD)
    assert b"none (null)" in post.dlq("show", "0@6").stdout
    assert b"none (reference)" in post.dlq("show", "1@0").stdout
    assert b"has no body (reference)" in post.dlq("show", "1@0", "--raw", code=1).stderr


def test_a_dry_run_changes_nothing(post: Post) -> None:
    """It names what would be sent; not one offset of any topic moves, not even by a transaction's marker."""
    post.put([sample(i) for i in range(25)])
    before = post.ends()
    report = post.json("replay", "--dry-run", "--limit", "3")
    assert (report["sent"], [line["attempt"] for line in report["letters"]]) == (3, [2, 2, 2])
    assert "25 letters would be sent" in post.dlq("replay", "--dry-run").stdout.decode()
    assert before == post.ends()


def test_replay_sends_bytes_key_and_trace_into_the_partition_they_came_from(post: Post) -> None:
    """Records are the originals in their order, with origin and attempt; other partitions and topics are untouched."""
    post.put([sample(i) for i in range(50)], partition=1)
    before = post.ends()
    report = post.json("replay")
    assert (report["sent"], report["skipped"]) == (50, {})
    name, found = post.spec.name, post.read("records")
    assert [sample(i)[:2] for i in range(50)] == [(m.key(), m.value()) for m in found]
    assert {1} == {m.partition() for m in found}
    assert headers_of(found[7]) == [
        ("tailrace-origin", f"{name}.records.dlq[1]@7".encode()),
        ("tailrace-source", f"{name}.records[1]@7".encode()),
        ("tailrace-attempt", b"2"),
        ("traceparent", TRACE),
    ]
    after = post.ends()
    assert before[f"{name}.features"] == after[f"{name}.features"]
    assert before[f"{name}.records.dlq"] == after[f"{name}.records.dlq"]
    assert [end - start for start, end in zip(before[f"{name}.records"], after[f"{name}.records"], strict=True)] == [
        0 if p != 1 else 51 for p in range(post.spec.partitions)
    ]
    assert post.json("replay")["skipped"] == {"already": 50}
    assert bodies(post.read("records")) == bodies(found)


def test_filters_and_the_whole_add_up(post: Post) -> None:
    """Letters that filters left out are sent by the next replay; none is sent by both."""
    post.put([sample(i, "not_json" if i % 3 else "poison") for i in range(90)])
    sent = [
        post.json("replay", "--position", "0@80", "--position", "0@4")["sent"],
        post.json("replay", "--reason", "poison")["sent"],
        post.json("replay", "--limit", "20")["sent"],
        post.json("replay", "--since", "1h")["sent"],
        post.json("replay")["sent"],
    ]
    assert sent == [2, 30, 20, 38, 0]
    assert bodies(post.read("records")) == Counter(sample(i)[1] for i in range(90))


def test_what_cannot_be_replayed_is_counted_and_said(post: Post) -> None:
    """No body, too large, tried too often, forged: each is told apart; named with --force what has a body goes out."""
    again: Any = [("tailrace-attempt", b"3"), ("tailrace-origin", b"x")]
    post.put(
        [
            (b"k", None, "empty", None),
            (b"k", b"", "empty", None),
            (b"k", b"x" * 900_001, "too_large", None),
            (b"k", b"tired", "poison", again),
            (b"k", b"barrier", "forged_control", [("tailrace-control", b"1")]),
            (b"k", b"good", "poison", None),
        ]
    )
    post.send("records.dlq", [(b"k", b"somebody else's")])
    report = post.json("replay")
    counted = {"empty": 2, "reference": 1, "attempts": 1, "forged": 1, "foreign": 1}
    assert (report["sent"], report["skipped"]) == (1, counted)
    assert "a forged control record" in post.dlq("replay", "--position", "0@4", code=1).stdout.decode()
    assert post.json("replay", "--position", "0@4", "--force")["sent"] == 1
    assert post.json("replay", "--position", "0@0", "--force", code=1)["skipped"] == {"empty": 1}
    assert post.json("replay", "--reason", "poison", "--max-attempts", "4")["sent"] == 1
    found = post.read("records")
    assert [m.value() for m in found] == [b"good", b"barrier", b"tired"]
    assert "tailrace-control" not in dict(headers_of(found[1]))
    assert dict(headers_of(found[2]))["tailrace-attempt"] == b"4"


@pytest.mark.parametrize("step", STEPS)
def test_a_replay_killed_at_a_step_and_run_again_sends_each_once(post: Post, step: str) -> None:
    """SIGKILL in the second of three transactions, before or after its commit: the next run sends what is left."""
    post.put([sample(i) for i in range(N)])
    first = post.begin("replay", module="tests.support.faulty_dlq", TAILRACE_TEST_FAULT=f"kill:{step}")
    assert first.wait(60) == -signal.SIGKILL, first.communicate()
    left = post.json("replay")
    assert left["sent"] == (N - 80 if step == "committed" else N - 40)
    assert bodies(post.read("records")) == Counter(sample(i)[1] for i in range(N))
    assert post.json("replay")["sent"] == 0


def test_an_interrupted_replay_ends_at_once_and_leaves_nothing_half_done(post: Post) -> None:
    """Ctrl-C within a transaction: exit 130, the transaction is aborted, the next run sends what is left."""
    post.put([sample(i) for i in range(N)])
    first = post.begin("replay", module="tests.support.faulty_dlq", TAILRACE_TEST_FAULT="int:produced")
    _, err = first.communicate(timeout=60)
    assert (130, 0) == (first.returncode, err.count(b"Traceback")), err
    assert post.json("replay")["sent"] == N - 40
    assert bodies(post.read("records")) == Counter(sample(i)[1] for i in range(N))


def test_two_replays_at_once_send_each_once(post: Post) -> None:
    """One is frozen in its transaction while another sends all; woken it is fenced and says so: nothing is doubled."""
    post.put([sample(i) for i in range(N)])
    first = post.begin("replay", module="tests.support.faulty_dlq", TAILRACE_TEST_FAULT="stop:flushed")
    stopped = Path(f"/proc/{first.pid}/stat")
    until(lambda: stopped.read_text().split(") ")[1][0] == "T", "the first to freeze", 60)
    second = post.json("replay")
    os.kill(first.pid, signal.SIGCONT)
    out, err = first.communicate(timeout=60)
    assert (first.returncode, second["sent"]) == (1, N - 40), err
    assert b"another replay of" in err, err
    assert len(err.strip().splitlines()) == 1, err
    assert out == b""
    assert bodies(post.read("records")) == Counter(sample(i)[1] for i in range(N))


def test_a_race_of_four_sends_each_once(post: Post) -> None:
    """Four start together: whoever wins, every letter is in the topic once."""
    post.put([sample(i) for i in range(N)])
    racing = [post.begin("replay", module="tests.support.faulty_dlq", TAILRACE_TEST_FAULT="none:") for _ in range(4)]
    codes = [one.wait(90) for one in racing]
    assert set(codes) <= {0, 1}, codes
    post.json("replay")
    assert bodies(post.read("records")) == Counter(sample(i)[1] for i in range(N))


def test_an_older_update_does_not_take_the_place_of_a_newer_one(post: Post) -> None:
    """`features` keeps the newest value of a key: behind a newer good one a letter is not sent, unless it is forced."""
    update = (b"weather:north", b"bad")
    post.send("features", [update, (b"weather:south", b"bad"), update, (b"weather:north", b"newer and good")])
    rejects: list[Any] = [(b"weather:north", b"bad"), (b"weather:south", b"bad"), (b"weather:north", b"bad 2")]
    post.put([(*kv, "unknown_group", None) for kv in rejects], "features.dlq")
    assert [one["replay"] for one in post.json("show", "--topic", "features.dlq", "--reason", "unknown_group")] == [
        "superseded", "send", "superseded",
    ]  # fmt: skip
    report = post.json("replay", "--topic", "features.dlq")
    assert (report["sent"], report["skipped"]) == (1, {"superseded": 2})
    assert post.json("replay", "--position", "features.dlq[0]@2", "--force")["sent"] == 1
    assert [m.value() for m in post.read("features")][4:] == [b"bad", b"bad 2"]
