"""A state folder belongs to one stack at a time, and tells others what runs."""

from pathlib import Path

import pytest

from shared.core.errors import UserError
from tailrace.stack.state import StackFile, StateFolder, state_folder

CONTENT = StackFile(pid=4711, up=True, started_at=1.0, endpoints={"kafka": "127.0.0.1:9092"}, programs=[])


def test_second_stack_is_refused_by_one_line(tmp_path: Path) -> None:
    """Two stacks on one folder would write the same data: the second names the first."""
    first = StateFolder(tmp_path)
    first.acquire()
    first.write(CONTENT)

    with pytest.raises(UserError, match=r"already runs on .* \(pid 4711\); .*tailrace down"):
        StateFolder(tmp_path).acquire()
    first.release()


def test_folder_is_free_after_release(tmp_path: Path) -> None:
    """Releasing gives the folder back and takes the announcement away."""
    first = StateFolder(tmp_path)
    first.acquire()
    first.write(CONTENT)
    first.release()
    second = StateFolder(tmp_path)
    second.acquire()

    assert second.read() is None
    assert second.held()
    second.release()
    assert not second.held()


def test_unwritable_folder_is_named(tmp_path: Path) -> None:
    """A folder that cannot be made is named with the remedy."""
    (tmp_path / "file").write_text("")

    with pytest.raises(UserError, match=r"file/state cannot be written .*TAILRACE_STATE"):
        StateFolder(tmp_path / "file" / "state").acquire()


def test_damaged_announcement_reads_as_none(tmp_path: Path) -> None:
    """A stack.json that is not ours is no stack."""
    (tmp_path / "stack.json").write_text("{")

    assert StateFolder(tmp_path).read() is None


def test_write_leaves_no_partial_file(tmp_path: Path) -> None:
    """What was written is read back, and nothing else is there."""
    folder = StateFolder(tmp_path)
    folder.write(CONTENT)

    assert folder.read() == CONTENT
    assert [path.name for path in tmp_path.iterdir()] == ["stack.json"]


def test_ports_are_remembered(tmp_path: Path) -> None:
    """Ports of an earlier start are kept, each under its name."""
    folder = StateFolder(tmp_path)
    folder.remember_ports({"kafka": 1})
    folder.remember_ports({"redis": 2})

    assert folder.ports() == {"kafka": 1, "redis": 2}


def test_folder_comes_from_the_environment(tmp_path: Path) -> None:
    """TAILRACE_STATE names the folder; ./.tailrace is the default."""
    assert state_folder({"TAILRACE_STATE": str(tmp_path)}) == tmp_path
    assert state_folder({}) == Path.cwd() / ".tailrace"
