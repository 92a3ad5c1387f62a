"""What every command shares: settings of the running stack, and one way to print."""

import json
import time
from pathlib import Path

import pytest

from shared.core.topic_plan import Action
from tailrace.cli.common import cli_settings, emit
from tailrace.stack.state import StackFile, StateFolder

NAME = "TAILRACE_KAFKA__BOOTSTRAP_SERVERS"


@pytest.fixture
def state(tmp_path: Path) -> StateFolder:
    """A state folder where a stack said that it has Kafka."""
    folder = StateFolder(tmp_path)
    endpoints = {"kafka": "127.0.0.1:4711", "redis": ""}
    folder.write(StackFile(pid=1, up=True, started_at=time.time(), endpoints=endpoints, programs=[]))
    return folder


def test_a_stack_that_was_killed_is_not_asked(state: StateFolder) -> None:
    """What a dead stack left behind leads nowhere: the defaults hold."""
    settings = cli_settings({"TAILRACE_STATE": str(state.path)})
    assert settings.kafka.bootstrap_servers == "127.0.0.1:9092"


def test_a_running_stack_is_used_where_nothing_is_set(state: StateFolder) -> None:
    """The running stack's addresses are taken, unless the environment has its own."""
    state.acquire()
    env = {"TAILRACE_STATE": str(state.path)}
    assert cli_settings(env).kafka.bootstrap_servers == "127.0.0.1:4711"
    assert cli_settings(env).redis.url == "redis://127.0.0.1:6379/0"
    assert cli_settings({**env, NAME: "else:1"}).kafka.bootstrap_servers == "else:1"
    state.release()


def test_a_misspelt_setting_is_warned_of_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An unknown variable is named on standard error, once however often settings are asked for."""
    env = {"TAILRACE_STATE": str(tmp_path), "TAILRACE_KAFKA__BOOTSTRAP": "x"}
    cli_settings(env)
    cli_settings(env)
    captured = capsys.readouterr()
    assert captured.err.count("TAILRACE_KAFKA__BOOTSTRAP is no setting") == 1
    assert captured.out == ""


def test_json_is_the_object_alone(capsys: pytest.CaptureFixture[str]) -> None:
    """With --json standard output is exactly the object; without, the text for people."""
    emit([Action("warn", "p.records", "odd")], True, lambda: "text")
    assert json.loads(capsys.readouterr().out) == [{"kind": "warn", "topic": "p.records", "what": "odd", "changes": {}}]
    emit([], False, lambda: "text")
    assert capsys.readouterr().out == "text\n"
