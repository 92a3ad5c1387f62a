"""The stack: brings up the parts that are asked for and not given by address, and takes them down."""

import os
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from shared.core.errors import UserError
from tailrace.stack import kafka, mlflow, redis
from tailrace.stack.cache import cache_folder, check_space
from tailrace.stack.endpoints import Endpoints, check_reachable
from tailrace.stack.ports import configured_port, free_port
from tailrace.stack.program import Event, Program
from tailrace.stack.state import ProgramEntry, StackFile, StateFolder
from tailrace.stack.supervisor import Supervisor

PARTS = ("kafka", "redis", "mlflow")
_TIMEOUTS_S = {"kafka": kafka.START_TIMEOUT_S, "redis": redis.START_TIMEOUT_S, "mlflow": mlflow.START_TIMEOUT_S}
STATE_MB = 1_000


def to_stderr(line: str) -> None:
    """Print a line of progress."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


class Stack:
    """The servers that the pipelines stand on, and any programs beside them; a context manager.

    Args:
        state: folder of data, logs and `stack.json`; survives restarts. One stack at a time.
        parts: of `PARTS`, what to bring up on entering; `ensure` brings up more later.
        external: addresses of servers that are there already: not started, only checked.
        ports: configured ports by part; a free one is taken for the others.
        cache: where downloads are kept.
        redis_maxmemory_mb: bound of the cache server, megabytes.
        say: takes lines of progress.
        on_event: told of each start, end and restart of any program, from the thread of that program.

    Raises:
        UserError: on entering, if a part cannot be brought up; nothing is left running then.
    """

    def __init__(
        self,
        state: Path,
        *,
        parts: Sequence[str] = PARTS,
        external: Endpoints | None = None,
        ports: Mapping[str, int] | None = None,
        cache: Path | None = None,
        redis_maxmemory_mb: int = 256,
        say: Callable[[str], None] = to_stderr,
        on_event: Callable[[Event], None] | None = None,
    ) -> None:
        self.state = StateFolder(state.absolute())
        self.endpoints = Endpoints()
        self.supervisor = Supervisor(self.state.logs, on_event=self._happened)
        self.start_seconds: dict[str, float] = {}
        self._parts = tuple(parts)
        self._external = external or Endpoints()
        self._ports = dict(ports or {})
        self._cache = cache or cache_folder()
        self._redis_mb = redis_maxmemory_mb
        self._say = say
        self._on_event = on_event
        self._started_at = time.time()
        self._writing = threading.Lock()
        self._open = False
        self._up = False
        self._left_out: dict[str, str] = {}

    def __enter__(self) -> Self:
        try:
            self.state.acquire()
            self._open = True
            check_space(self.state.path, STATE_MB, "TAILRACE_STATE")  # first: on a full disk nothing can be published
            self._publish()
            self.ensure(*self._parts)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def ensure(self, *parts: str) -> Endpoints:
        """Bring up parts that are not up yet, all at once, and wait until they serve.

        Returns:
            All endpoints so far.

        Raises:
            UserError: if one cannot be brought up.
        """
        for part in parts:
            if part not in PARTS:
                raise UserError(f"{part} is no part of the stack", remedy=f"one of {', '.join(PARTS)}")
        wanted = [part for part in parts if not self.endpoints.get(part)]
        given = {part: self._external.get(part) for part in wanted if self._external.get(part)}
        for part, address in given.items():
            check_reachable(part, address)
        addresses = given | self._bring_up([part for part in wanted if part not in given])
        self.endpoints = msgspec.structs.replace(self.endpoints, **addresses)
        self._publish()
        return self.endpoints

    def start(self, *programs: Program) -> None:
        """Start further programs under the same supervisor; returns at once."""
        self.supervisor.start(*programs)

    def leave_out(self, pipeline: str, why: str) -> None:
        """Say in `stack.json` that a pipeline that was asked for does not run, and why."""
        self._left_out[pipeline] = why
        self._publish()

    def mark_up(self) -> None:
        """Say in `stack.json` that all that was asked for is started."""
        self._up = True
        self._publish()

    def port(self, name: str) -> int:
        """A port for a program of that name: the configured one, else that of the last start, else a free one.

        Raises:
            UserError: if the configured port is in use.
        """
        if name in self._ports:
            twin = next((one for one, port in self._ports.items() if one != name and port == self._ports[name]), None)
            if twin is not None:
                said = f"--{name}-port and --{twin}-port are both {self._ports[name]}"
                raise UserError(said, remedy="give each a port of its own")
            return configured_port(self._ports[name], f"--{name}-port")
        port = free_port(self.state.ports().get(name))
        self.state.remember_ports({name: port})
        return port

    def close(self) -> None:
        """Stop everything and give the state folder back. Data and logs stay."""
        self.supervisor.close()
        if self._open:
            self._open = False
            with self._writing:
                self.state.release()

    def _bring_up(self, parts: Sequence[str]) -> dict[str, str]:
        if not parts:
            return {}
        ports = {part: self.port(part) for part in parts}
        pool = ThreadPoolExecutor(len(parts), thread_name_prefix="start")
        jobs: dict[str, Future[str]] = {part: pool.submit(self._bring_up_one, part, ports[part]) for part in parts}
        try:
            done, _ = wait(jobs.values(), return_when=FIRST_EXCEPTION)
            for job in done:
                job.result()
        except BaseException:
            self.supervisor.close()  # ends what the other threads wait for
            raise
        finally:
            pool.shutdown(wait=True)
        return {part: job.result() for part, job in jobs.items()}

    def _bring_up_one(self, part: str, port: int) -> str:
        began = time.monotonic()
        program = self._prepare(part, port)
        self.supervisor.start(program)
        self.supervisor.wait_ready(part, _TIMEOUTS_S[part])
        self.start_seconds[part] = time.monotonic() - began
        self._say(f"{part}: {program.address} after {self.start_seconds[part]:.1f} s")
        return program.address

    def _prepare(self, part: str, port: int) -> Program:
        folder = self.state.path / part
        if part == "kafka":
            ports = kafka.KafkaPorts(clients=port, controller=self.port("kafka-controller"))
            return kafka.prepare(folder, ports, self._cache, self.supervisor, self._say)
        if part == "redis":
            return redis.prepare(folder, port, self._redis_mb)
        return mlflow.prepare(folder, port)

    def _happened(self, event: Event) -> None:
        self._publish()
        if self._on_event is not None:
            self._on_event(event)

    def _publish(self) -> None:
        with self._writing:
            if not self._open:
                return
            entries = [
                ProgramEntry(
                    name=one.name,
                    state=one.state,
                    pid=one.pid,
                    restarts=one.restarts,
                    last_exit=one.last_exit,
                    started_at=one.started_at,
                    log=str(one.log),
                    address=one.address,
                    pipeline=one.pipeline,
                )
                for one in self.supervisor.status()
            ]
            endpoints = msgspec.structs.asdict(self.endpoints)
            self.state.write(
                StackFile(
                    pid=os.getpid(),
                    up=self._up,
                    started_at=self._started_at,
                    endpoints=endpoints,
                    programs=entries,
                    left_out=dict(self._left_out),
                )
            )
