"""What `tailrace up` does: bring up a stack and our services, and stay until told to stop.

Also run as a program, `python -m tailrace.stack.serve REQUEST`, by `tailrace up --detach`.
"""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec

from shared.adapters.kafka.admin import KafkaAdmin
from shared.adapters.kafka.config import client_config
from shared.core.errors import TailraceError, UserError
from shared.runtime.settings import Settings, load_settings, read_secret
from tailrace.stack.cache import check_space
from tailrace.stack.endpoints import Endpoints
from tailrace.stack.many import SCORING_S, Wanted, await_scoring, has_model, train, wanted
from tailrace.stack.program import Program
from tailrace.stack.services import SERVICE_PROGRAMS, Order
from tailrace.stack.signals import Terminated, stoppable
from tailrace.stack.stack import PARTS, STATE_MB, Stack, to_stderr
from tailrace.stack.state import StackFile, StateFolder
from tailrace.stack.topics import ensure_topics
from tailrace.stack.workers import Teller, last_error

_POLL_S = 0.1
_SERVICE_S = 30.0
_ERROR = "error: "


class UpRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What to bring up.

    Attributes:
        state: the state folder.
        services: parts (`kafka`) and services of pipelines (`scorer:flights`).
        workers: scorer processes a pipeline.
        ports: configured ports by part.
        redis_maxmemory_mb: bound of the cache server.
        train: train pipelines that have no model yet.
    """

    state: str
    services: list[str]
    workers: int = 2
    ports: dict[str, int] = {}
    redis_maxmemory_mb: int = 256
    train: bool = False


def serve(request: UpRequest, announce: Callable[[Stack], None]) -> None:
    """Bring up what is asked for, call `announce`, and stay until Ctrl-C (raised on) or SIGTERM (returns).

    Services of pipelines bring along the parts they stand on. A pipeline that cannot be started leaves the others
    alone: it is named, here and by `tailrace status`.

    Raises:
        UserError: if a file is wrong (nothing was started then), or a server or every pipeline cannot be brought up;
            nothing is left running.
        KeyboardInterrupt: after Ctrl-C, once everything is stopped.
    """
    own = wanted(one for one in request.services if one not in PARTS)
    parts = [part for part in PARTS if own or part in request.services]
    up, tell = threading.Event(), Teller(StateFolder(Path(request.state)).logs)  # until it is up, errors say it all
    try:
        with (
            stoppable(),
            Stack(
                Path(request.state),
                parts=parts,
                external=Endpoints.from_env(),
                ports=request.ports,
                redis_maxmemory_mb=request.redis_maxmemory_mb,
                on_event=lambda event: tell(event) if up.is_set() else None,
            ) as stack,
        ):
            started = _start(stack, request, own)
            _settle(stack, [program for one in started for program in one.programs])
            _models(stack, request, started)
            _say_failed(stack)
            stack.mark_up()
            announce(stack)
            up.set()
            threading.Event().wait()
    except Terminated:
        return


def _start(stack: Stack, request: UpRequest, own: Sequence[Wanted]) -> list[Wanted]:
    """Make the topics of each pipeline and start its programs; gives those that could be started."""
    failed: list[TailraceError] = []
    for one in own:
        try:
            _make_topics(one, stack)
            order = Order(one.pipeline.folder, stack.endpoints, stack.state.path, request.workers, stack.port)
            made = [program for service in one.services for program in SERVICE_PROGRAMS[service](order)]
            one.programs = [replace(program, pipeline=one.name) for program in made]
            stack.start(*one.programs)
        except TailraceError as error:
            failed.append(error)
            stack.leave_out(one.name, str(error))
            to_stderr(f"{one.name} is left out: {error}")
    if failed and len(failed) == len(own):
        raise failed[0]
    return [one for one in own if one.programs]


def _make_topics(one: Wanted, stack: Stack) -> None:
    spec = one.pipeline.spec
    done = ensure_topics(KafkaAdmin(client_config(_settings(stack).kafka, read_secret)), spec)
    if done.work:
        to_stderr(f"{spec.name}: {len(done.work)} topics made or mended")


def _models(stack: Stack, request: UpRequest, started: Sequence[Wanted]) -> None:
    """Train what has no model yet, one after the other, or say how that is done; the others score meanwhile."""
    settings = _settings(stack)
    conf, timeout = client_config(settings.kafka, read_secret), settings.loop.call_timeout * 2
    for one in started:
        if "scorer" not in one.services:
            continue
        try:
            if has_model(conf, one.pipeline.spec.name, timeout):
                continue
            if not request.train:
                to_stderr(f"{one.name} has no model yet: tailrace train {one.pipeline.folder} (or `up --train`)")
                continue
            to_stderr(f"{one.name} has no model yet: training (log {stack.state.logs / f'train-{one.name}.log'})")
            found = train(one, stack.endpoints, stack.state.path, stack.supervisor)
            to_stderr("  " + found.replace("\n", "\n  "))
            if not await_scoring(one.programs, SCORING_S):
                to_stderr(f"{one.name} does not score yet: tailrace doctor {one.pipeline.folder}")
        except TailraceError as error:
            to_stderr(f"{one.name} has no model: {error}")


def _say_failed(stack: Stack) -> None:
    """Name what ended for good while the rest came up, with its reason."""
    for status in stack.supervisor.status():
        if status.state == "failed":
            cause = last_error(status.log)
            to_stderr(f"{status.name}  {status.last_exit}{' - ' if cause else ''}{cause}; see {status.log}")


def _settings(stack: Stack) -> Settings:
    settings, _ = load_settings({**os.environ, **stack.endpoints.env()})
    return settings


def _settle(stack: Stack, programs: Sequence[Program]) -> None:
    """Wait until our services answer; one that does not is named, and goes on being started again."""
    for program in programs:
        try:
            seconds = stack.supervisor.wait_ready(program.name, _SERVICE_S)
            to_stderr(f"{program.name}: {program.address} after {seconds:.1f} s")
        except UserError as error:
            to_stderr(f"{program.name} is not up: {error}")


def detach(request: UpRequest) -> StackFile:
    """Run `serve` in a process of its own and wait until everything is up.

    Returns:
        What the new stack says of itself.

    Raises:
        UserError: if it did not come up; carries what it said.
    """
    wanted(one for one in request.services if one not in PARTS)  # mistakes are named here, in our own words
    state = StateFolder(Path(request.state))
    state.acquire()  # a running stack is named here, in our own words
    state.release()
    check_space(state.path, STATE_MB, "TAILRACE_STATE")  # on a full disk the new process could not even say so
    state.logs.mkdir(exist_ok=True)
    log = state.logs / "up.log"
    argv = (sys.executable, "-m", "tailrace.stack.serve", msgspec.json.encode(request).decode())
    with log.open("wb") as output:
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        return _follow(process, state, log)
    except BaseException:
        process.terminate()
        process.wait()
        raise


def _follow(process: subprocess.Popen[bytes], state: StateFolder, log: Path) -> StackFile:
    """Pass on what the new stack says until it is up; its last word, if it is an error, is raised and not printed."""
    said = b""
    with log.open("rb") as lines:
        while True:
            ended = process.poll() is not None  # looked at before the log: then nothing can follow what is read
            said += lines.read()
            whole, newline, said = (said, b"", b"") if ended else said.rpartition(b"\n")
            progress, error = split_error((whole + newline).decode(errors="replace"))
            if ended:
                if progress:
                    to_stderr(progress)
                raise UserError(error or f"the stack ended at once; see {log}")
            if error:  # it is about to end: read it again then
                said = (whole + newline) + said
            elif progress:
                to_stderr(progress)
            content = state.read()
            if content is not None and content.pid == process.pid and content.up:
                return content
            time.sleep(_POLL_S)


def split_error(text: str) -> tuple[str, str]:
    """Split what a stack said into its progress and the error that it ended with (empty if there is none)."""
    before, found, error = ("\n" + text).rpartition("\n" + _ERROR)
    return (before.strip("\n"), error.rstrip()) if found else (text.strip("\n"), "")


def environment_lines(endpoints: Endpoints) -> list[str]:
    """Shell lines that lead other processes to these servers."""
    return [f"export {name}={value}" for name, value in endpoints.env().items()]


def main() -> int:
    """Serve the request given as JSON; 0 after SIGTERM, 2 with one line if something is wrong."""
    try:
        serve(msgspec.json.decode(sys.argv[1], type=UpRequest), lambda _: None)
    except UserError as error:
        to_stderr(f"{_ERROR}{error}")
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
