"""The bench beside other frameworks: its arithmetic, its locks, its programs. No framework is installed here."""

import ast
import re
import stat
from pathlib import Path

import msgspec
import numpy as np
import pytest
from skl2onnx import to_onnx
from sklearn.linear_model import LogisticRegression

from benchmarks import bare_loop
from benchmarks.peers import common
from shared.core.errors import UserError
from tailrace.bench import appended, peer_env
from tailrace.bench.answers import Outcome, Outputs, Said, outcome
from tailrace.bench.appended import Watched, speed, watch
from tailrace.bench.material import FEATURES, rows
from tailrace.bench.peer_env import LOCK_NAME, PEERS, PEERS_FOLDER, PROGRAM_NAME, Peer, environment, locked
from tailrace.bench.peer_result import Ratio, Row, ratios
from tailrace.bench.peers import chosen, job_of

RIGHT = Outcome(right=10, wrong=0, missing=0, duplicates=0, transactions=False)
NAMES = [peer.name for peer in PEERS]


def row(name: str, rate: float, cpu: float) -> Row:
    """A row of which only the figures matter."""
    return Row(
        name=name, version="1", client="c 1", guarantee="none", records_per_s=rate, cpu_us_per_record=cpu, rss_mb=1.0,
        n=10, outcome=RIGHT,
    )  # fmt: skip


def said(offset: int, score: float = 0.25) -> Said:
    """An answer to the record at an offset of partition 0."""
    return Said(1, f"r{offset}", "e", (0, offset), 5, score, "no", "local", "d", 1)


def test_a_peer_that_is_unknown_is_refused() -> None:
    """The line names those that there are."""
    with pytest.raises(UserError, match=r"there is no peer flink; one of quixstreams, faststream, bytewax, faust"):
        chosen(["bytewax", "flink"])
    assert ([p.name for p in chosen(["faust"])], chosen([])) == (["faust"], PEERS)


def test_ratios_are_ours_by_theirs_and_only_of_those_that_ran() -> None:
    """A peer without a row has no ratio; one is reached from the wanted one on; beside a tuned one nothing is."""
    quix, faststream, *_ = PEERS
    seen = [row("bare loop", 9e9, 1.0), row("tailrace", 100_000, 8.0), row("FastStream", 20_000, 40.0)]
    seen.append(row("FastStream, tuned", 50_000, 16.0))
    seen.append(row("Quix Streams", 25_000, 32.0))
    assert ratios(seen, PEERS) == {
        quix.title: Ratio(4.0, 0.25, 4.0, True),
        faststream.title: Ratio(5.0, 0.2, 6.0, False),
        "FastStream, tuned": Ratio(2.0, 0.5, 0.0, True),
    }


def test_a_speed_is_of_whole_batches() -> None:
    """Ten batches of ten, 1 s apart and 10 ms long: nine of them in 9 s, whatever the first had cost."""
    times = [batch + place * 0.001 for batch in range(10) for place in range(10)]
    took = speed(times, Watched([0.0, 0.009, 1.0, 9.009], [50.0, 60.0, 61.0, 69.0], 1.0))
    assert (took.n, round(took.seconds, 6), round(took.cpu, 6)) == (90, 9.0, 9.0)


def test_a_speed_without_batches_is_that_of_the_stream() -> None:
    """A thousand outputs, 10 ms apart: 100 a second."""
    took = speed([place / 100 for place in range(1_000)], Watched([0.0, 10.0], [0.0, 5.0], 1.0))
    assert took.n / took.seconds == pytest.approx(100.0)
    assert took.cpu / took.seconds == pytest.approx(0.5)


def test_a_program_that_writes_nothing_ends_the_wait() -> None:
    """What never writes is an error in time, with what there was."""
    with pytest.raises(UserError, match=r"0 of 10 outputs after 0\.1 s"):
        watch(lambda: None, lambda: 0, 10, 0.1)


def test_a_program_that_lost_some_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer outputs than expected, and no more come: that is the end, and what is missing is counted later."""
    monkeypatch.setattr(appended, "GIVE_UP_S", 0.1)
    counts = iter([0, 4, 7])
    seen = watch(lambda: None, lambda: next(counts, 7), 10, 10.0)
    assert (seen.at, seen.rss_mb) == ([], 0.0)


def test_answers_are_compared_position_by_position() -> None:
    """A score in its last bits is right; another one, an unknown position and a second answer are not."""
    expected = {(0, n): said(n) for n in range(4)}
    found = {(0, 0): said(0, 0.25 + 1e-8), (0, 1): said(1, 0.3), (0, 2): said(2), (0, 9): said(9)}
    assert outcome(Outputs(found, [1.0] * 5, 2), expected) == Outcome(
        right=2, wrong=2, missing=1, duplicates=1, transactions=True
    )


def test_every_peer_has_a_folder_and_every_folder_a_peer() -> None:
    """Nothing is left lying in the folder of the peers that no row will ever show."""
    folders = {path.parent.name for path in PEERS_FOLDER.glob(f"*/{PROGRAM_NAME}")}
    assert folders == set(NAMES)
    assert {path.parent.name for path in PEERS_FOLDER.glob(f"*/{LOCK_NAME}")} == folders


@pytest.mark.parametrize("peer", PEERS, ids=NAMES)
def test_a_lock_has_hashes_and_no_addresses(peer: Peer) -> None:
    """Each line is a pinned package with hashes; no address, no option, and what is asked for is in it."""
    lock = (peer.folder / LOCK_NAME).read_text(encoding="utf-8")
    whole = re.sub(r" *\\\n *", " ", lock).strip().splitlines()
    pinned = re.compile(r"[a-z0-9._-]+==\S+( ; [^\\]+?)?( --hash=sha256:[0-9a-f]{64})+")
    assert [line for line in whole if not pinned.fullmatch(line)] == []
    assert "://" not in lock
    asked = re.findall(r"^[a-z-]+", (peer.folder / "requirements.in").read_text(encoding="utf-8"), re.MULTILINE)
    assert {*asked, peer.package, peer.client} <= locked(lock).keys()


def test_of_several_versions_in_a_lock_the_first_counts() -> None:
    """A lock for several Pythons lists them from the oldest on, and that is the one that the bench runs on."""
    lock = "numpy==2.4.6 ; python_full_version < '3.12' \\\n  --hash=x\nnumpy==2.5.5 ; y \\\nfast-x==1 \\\n"
    assert locked(lock) == {"numpy": "2.4.6", "fast-x": "1"}


@pytest.mark.parametrize("peer", PEERS, ids=NAMES)
def test_a_program_is_python_and_takes_the_common_job(peer: Peer) -> None:
    """Each compiles, starts only as a program, and scores by the common code."""
    tree = ast.parse((peer.folder / PROGRAM_NAME).read_text(encoding="utf-8"))
    taken = {name.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for name in node.names}
    assert {"Scorer", "read_job"} <= taken
    assert ast.unparse(tree.body[-1]) == "if __name__ == '__main__':\n    main()"


def test_the_programs_understand_what_the_bench_tells_them() -> None:
    """The job of the bench is that of the peers with a group, and that of the bare loop with a batch."""
    job = job_of("127.0.0.1:1", Path("/home"), "d" * 64, "in", "out")
    peers = msgspec.convert({**job, "group": "out"}, common.Job)
    bare = msgspec.convert({**job, "batch": 5}, bare_loop.Job)
    assert (peers.target, peers.features, bare.source, bare.positive) == ("out", list(FEATURES), "in", "yes")
    with pytest.raises(msgspec.ValidationError, match="group"):
        msgspec.convert(job, common.Job)


def test_all_write_the_same_fields() -> None:
    """The peers' answer, the bare loop's and the one that is compared have the same fields in the same order."""
    fields = [field.name for field in msgspec.structs.fields(bare_loop.Prediction)]
    for struct in (common.Prediction, Said):
        assert [field.name for field in msgspec.structs.fields(struct)] == fields


def test_one_record_and_a_batch_have_the_same_answers(tmp_path: Path) -> None:
    """Whatever way a framework hands records over, the answers are alike, and a record with a field too many fails."""
    rng = np.random.default_rng(3)
    matrix = rng.normal(size=(200, len(FEATURES))).astype(np.float32)
    model = LogisticRegression().fit(matrix, np.where(matrix[:, 0] > 0, "yes", "no"))
    made = to_onnx(model, matrix[:1], options={id(model): {"zipmap": False}})
    job = {**job_of("x", tmp_path, "d" * 64, "in", "out"), "group": "g", "model": str(tmp_path / "model.onnx")}
    (tmp_path / "model.onnx").write_bytes(made.SerializeToString())
    scorer = common.Scorer(msgspec.convert(job, common.Job))
    records = list(rows(50, rng))
    values, at = [msgspec.json.encode(record) for record in records], [(0, n) for n in range(50)]
    many, one = scorer.many(at, values), [scorer.one(*pair) for pair in zip(at, values, strict=True)]
    assert [key for key, _ in many] == [record["key"].encode() for record in records]
    decode = msgspec.json.Decoder(Said).decode
    expected = {position: decode(value) for position, (_, value) in zip(at, one, strict=True)}
    found = Outputs({position: decode(value) for position, (_, value) in zip(at, many, strict=True)}, [1.0] * 50, 0)
    assert outcome(found, expected) == Outcome(right=50, wrong=0, missing=0, duplicates=0, transactions=False)
    assert {answer.label for answer in expected.values()} == {"yes", "no"}
    plain = [decode(msgspec.json.encode(scorer.plain(*pair))) for pair in zip(at, records, strict=True)]
    assert plain == list(expected.values()), "who decodes by itself has the same answers"
    with pytest.raises(msgspec.ValidationError, match="unknown field"):
        scorer.one((0, 0), msgspec.json.encode({**records[0], "more": 1}))


def test_a_peer_that_cannot_be_installed_says_why_and_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The installer's own words in a line; what is half installed does not count, what is whole is not made again."""
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / LOCK_NAME).write_text("bytewax==0.0.1 \\\n    --hash=sha256:00\n", encoding="utf-8")
    monkeypatch.setattr(peer_env, "PEERS_FOLDER", tmp_path)
    installer, calls = tmp_path / "uv", tmp_path / "calls"
    monkeypatch.setattr(peer_env, "_uv", lambda: str(installer))
    peer, cache = Peer("bad", "Bad", "bad", "x", "none", 1.0, 1.0), tmp_path / "c"

    def install(last: str) -> None:
        script = f'#!/bin/sh\necho "$1" >> {calls}\n[ "$1" = pip ] || exec /bin/mkdir -p {cache}/peers\n{last}\n'
        installer.write_text(script, encoding="utf-8")
        installer.chmod(stat.S_IRWXU)

    install("echo 'bytewax has no\n  wheel for this Python' >&2; exit 1")
    with pytest.raises(UserError, match="cannot be installed: bytewax has no wheel for this Python"):
        environment(peer, cache)
    install('mkdir -p "${5%/*}"; : > "$5"')
    python = environment(peer, cache)
    assert python.is_file()
    assert environment(peer, cache) == python
    assert calls.read_text(encoding="utf-8").split() == ["venv", "pip"] * 2


def test_without_a_checkout_there_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock that is not there is named, with what to do."""
    monkeypatch.setattr(peer_env, "PEERS_FOLDER", tmp_path)
    with pytest.raises(UserError, match=r"requirements\.lock cannot be read .*; run the bench from a checkout"):
        environment(PEERS[0], tmp_path / "cache")
