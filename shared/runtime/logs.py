"""Logs: one line an event on standard error, JSON for machines, short and coloured for a terminal.

Whatever is logged, by us or by a library, passes `clean` last: one event stays one line, secrets and record
content do not get out, and no value is longer than a reader can use.
"""

import logging
import os
import sys
from contextlib import AbstractContextManager
from typing import Final, Literal, TypedDict, Unpack

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from shared.core.errors import UserError
from shared.runtime.redact import clean_fields, clean_traceback

Format = Literal["auto", "json", "console"]
FORMATS: Final = ("auto", "json", "console")
LEVELS: Final = ("debug", "info", "warning", "error")
FORMAT_VARIABLE: Final = "TAILRACE_LOG__FORMAT"


class Context(TypedDict, total=False):
    """Where in the stream an event happened; bound once, on every line until the block ends."""

    pipeline: str
    partition: int
    offset: int
    version: str
    trace_id: str


def configure(service: str, level: str = "info", fmt: str = "auto") -> None:
    """Send all logs of this process to standard error, our own and those of libraries and warnings.

    Args:
        service: on every line.
        level: one of `LEVELS`.
        fmt: `json`, `console`, or `auto`: what TAILRACE_LOG__FORMAT says, else console on a terminal, else JSON.

    Raises:
        UserError: an unknown level or format.
    """
    if level not in LEVELS:
        raise UserError(f"log level {level!r} is unknown", remedy=f"use one of {', '.join(LEVELS)}")
    console = _is_console(fmt)
    handler = _Handler(sys.stderr)
    handler.setFormatter(_formatter(service, console=console))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    logging.captureWarnings(capture=True)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.filter_by_level,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,  # else a test that configures anew would keep the old one
    )


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """A logger: `log.info("event_in_words", key=value)`. The event is a constant; what varies goes into keys."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger


def quieten(*names: str) -> None:
    """Let these libraries speak of errors only, unless everything is asked for: each rebalance is a page to them."""
    if logging.getLogger().level > logging.DEBUG:
        for name in names:
            logging.getLogger(name).setLevel(logging.ERROR)


def bound(**context: Unpack[Context]) -> AbstractContextManager[None]:
    """Put these fields on every line that this thread logs inside the block."""
    return structlog.contextvars.bound_contextvars(**context)


class _Handler(logging.StreamHandler):  # type: ignore[type-arg]  # generic in the stubs only, not at run time
    """Writes whole lines; a log that cannot be written is dropped, it never stops the loop."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name is logging's
        """One fixed line instead of logging's own report, which has many and quotes the arguments."""
        try:
            self.stream.write(f'{{"event": "log_failed", "level": "error", "line": {record.lineno}}}\n')
            self.stream.flush()
        except (OSError, ValueError):
            return  # standard error is closed or full: nobody is left to tell


def _formatter(service: str, *, console: bool) -> logging.Formatter:
    def add_service(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        event["service"] = service
        return event

    def clean(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        traceback = event.get("exception")
        fields = clean_fields(event)
        if console and isinstance(traceback, str):
            fields["exception"] = clean_traceback(traceback)
        return fields

    renderer: Processor = structlog.processors.JSONRenderer(ensure_ascii=True, allow_nan=False)
    if console:
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.contextvars.merge_contextvars],
        processors=[
            structlog.stdlib.add_logger_name,
            structlog.stdlib.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            add_service,
            clean,
            renderer,
        ],
    )


def _is_console(fmt: str) -> bool:
    wanted = os.environ.get(FORMAT_VARIABLE, "auto") if fmt == "auto" else fmt
    if wanted not in FORMATS:
        raise UserError(
            f"log format {wanted!r} is unknown", remedy=f"set {FORMAT_VARIABLE} to one of {', '.join(FORMATS)}"
        )
    return wanted == "console" or (wanted == "auto" and sys.stderr.isatty())
