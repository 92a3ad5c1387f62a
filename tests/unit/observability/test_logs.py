"""Logs: one event is one line, whatever stands in it."""

import json
import logging
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import structlog

from shared.core.errors import UserError
from shared.runtime.logs import bound, configure, get_logger


def fail_and_log(message: str) -> None:
    """Log an exception with its traceback, its message and itself as a field."""
    error = ValueError(message)
    try:
        raise error
    except ValueError:
        get_logger("test").exception("failed", error=error)


HOSTILE = [
    "a\r\nb",
    '{"event":"forged","level":"info"}',
    '"} {"event": "forged"',
    "\x1b[2J\x1b[31mred\x1b]0;title\x07",
    "%s %d %n %(name)s {0} {name} ${jndi:ldap://x}",
    "nul\x00 bell\x07 del\x7f c1\x9b nel\x85 ls\u2028 ps\u2029 rtl\u202e",
    "lone \ud800 surrogate",
    "x" * 100_000,
    "\\",
    "",
]


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def parsed(text: str) -> list[dict[str, object]]:
    """Each line as JSON, strictly: NaN is refused, and every way to break a line is a break."""

    def refuse(constant: str) -> object:
        raise ValueError(constant)

    return [json.loads(line, parse_constant=refuse) for line in text.splitlines()]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_injection_in_every_field(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """B29: hostile text in event, key, value, nested value, context and exception: lines parsed = lines written."""
    configure("scorer", "debug", "json")
    log = get_logger("test")
    with bound(pipeline=text, trace_id=text):
        log.info(text)
        log.info("event", **{text or "k": "value"})
        log.info("event", detail=text, nested={text: [text, {"deep": text}]})
        log.info(f"%s {text}", text)  # noqa: G004 - format directives in the event are the case
        logging.getLogger("library").warning(text.replace("%", "%%"))
        logging.getLogger("library").warning("say %s", text)
        fail_and_log(text)
    err = capsys.readouterr().err
    lines = parsed(err)
    assert len(lines) == 7
    assert "forged" not in {line["event"] for line in lines[1:4]}
    assert err.isascii()
    assert "\x1b" not in err
    for line in lines:
        for value in line.values():
            if isinstance(value, str):
                assert not any(ord(char) < 0x20 or 0x7F <= ord(char) < 0xA0 for char in value)
    assert max(map(len, err.splitlines())) < 60_000


def test_a_bad_library_call_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """A library's log call with wrong arguments gives one line, not logging's report of many."""
    configure("scorer", "info", "json")
    wrong: tuple[object, ...] = ("secret-argument",)
    logging.getLogger("library").warning("two %s %s", *wrong)
    err = capsys.readouterr().err
    assert [line["event"] for line in parsed(err)] == ["log_failed"]
    assert "secret-argument" not in err


def test_a_warning_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Python warnings come through the same door."""
    configure("scorer", "info", "json")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=True)
        warnings.warn("old\nthing", stacklevel=1)
    assert len(parsed(capsys.readouterr().err)) == 1


SECRETS = [
    {"password": "hunter2secret"},
    {"sasl_password": "hunter2secret"},
    {"api_key": "hunter2secret"},
    {"key_file": "hunter2secret"},
    {"nested": {"token": "hunter2secret"}},
    {"config": "sasl.password=hunter2secret,x=1"},
    {"url": "redis://user:hunter2secret@host:6379/0"},
    {"header": "Authorization: Bearer hunter2secret"},
    {"jaas": 'password="hunter2secret";'},
    {"text": "-----BEGIN PRIVATE KEY-----\nhunter2secret\n-----END PRIVATE KEY-----"},
    {"list": ["token: hunter2secret"]},
    {"error": ValueError("password=hunter2secret")},
    {"far": "x" * 2_040 + "password=hunter2secret"},
]


@pytest.mark.parametrize("fields", SECRETS, ids=lambda fields: next(iter(fields)))
@pytest.mark.parametrize("fmt", ["json", "console"])
def test_secrets_do_not_get_out(fields: dict[str, object], fmt: str, capsys: pytest.CaptureFixture[str]) -> None:
    """I18: a secret, by its key or by its look, never reaches standard error."""
    configure("scorer", "info", fmt)
    get_logger("test").info("start", **fields)
    fail_and_log("password=hunter2secret")
    err = capsys.readouterr().err
    assert "start" in err
    assert "hunter2" not in err


def test_record_content_does_not_get_out(capsys: pytest.CaptureFixture[str]) -> None:
    """Features, records, arrays and bytes are withheld, whatever key they come under."""
    configure("scorer", "info", "json")
    get_logger("test").info(
        "scored", features={"age": 41.5371}, record="N14228", key=b"N14228", x=np.array([41.5371]), raw=b"41.5371", n=3
    )
    err = capsys.readouterr().err
    assert "41.5371" not in err
    assert "N14228" not in err
    assert parsed(err)[0]["n"] == 3


def test_numbers_that_json_cannot_hold(capsys: pytest.CaptureFixture[str]) -> None:
    """NaN, infinities and integers of 10,000 digits become text."""
    configure("scorer", "info", "json")
    get_logger("test").info("n", a=float("nan"), b=float("-inf"), c=10**10_000, d=2**62)
    (line,) = parsed(capsys.readouterr().err)
    assert [line["a"], line["b"], line["d"]] == ["nan", "-inf", 2**62]
    assert "bits" in str(line["c"])


def test_context_is_on_every_line(capsys: pytest.CaptureFixture[str]) -> None:
    """What is bound stands on our lines and on a library's, and ends with the block."""
    configure("scorer", "info", "json")
    with bound(pipeline="flights", partition=3, offset=17, version="4", trace_id="ab"):
        get_logger("test").info("inside")
        logging.getLogger("library").warning("inside too")
    get_logger("test").info("outside")
    lines = parsed(capsys.readouterr().err)
    expected = {"pipeline": "flights", "partition": 3, "offset": 17, "version": "4", "trace_id": "ab"}
    assert [expected, expected, {}] == [{k: line[k] for k in expected if k in line} for line in lines]
    assert {"event", "level", "timestamp", "service", "logger"} <= set(lines[0])


def test_threads_do_not_mix_their_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """2,000 events from 8 threads, half of them a library's, are 2,000 lines."""
    configure("scorer", "info", "json")

    def write() -> None:
        for number in range(125):
            get_logger("ours").info("event", number=number)
            logging.getLogger("theirs").warning("event %d", number)

    threads = [threading.Thread(target=write) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(parsed(capsys.readouterr().err)) == 2_000


def test_console_keeps_to_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    """On a terminal, too, text cannot begin a line or colour the screen; a traceback is marked."""
    configure("scorer", "info", "console")
    get_logger("test").info("event", detail="a\n2026-01-01 [info] forged \x1b[31m")
    fail_and_log("a\nforged")
    lines = capsys.readouterr().err.splitlines()
    assert "  | forged" in lines
    assert [line for line in lines if line.startswith("forged") or "\x1b[31m" in line] == []
    assert sum("[info" in line and "event" in line for line in lines) == 1


def test_level_and_format_by_setting(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Lower levels are silent, and the variable chooses the format where the caller leaves it open."""
    monkeypatch.setenv("TAILRACE_LOG__FORMAT", "console")
    configure("scorer", "warning")
    get_logger("test").info("silent")
    get_logger("test").warning("heard")
    err = capsys.readouterr().err
    assert "silent" not in err
    assert not err.startswith("{")


@pytest.mark.parametrize(("level", "fmt"), [("loud", "json"), ("info", "xml")])
def test_unknown_settings_are_named(level: str, fmt: str) -> None:
    """A level or format that does not exist is the user's to mend."""
    with pytest.raises(UserError, match="is unknown; "):
        configure("scorer", level, fmt)


def test_a_closed_standard_error_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Logging into a closed stream is silent."""
    stream = (tmp_path / "err").open("w")
    monkeypatch.setattr("sys.stderr", stream)
    configure("scorer", "info", "json")
    stream.close()
    get_logger("test").info("nobody hears")
