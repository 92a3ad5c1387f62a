"""Threads that take turns: one runs, all others wait, and who is next is said in so many words.

The loop under test is plain synchronous code. On a strand it can be stopped at any call and go on much later, while
others run; since exactly one thread runs at a time, the same decisions give the same run, byte for byte.
"""

from collections.abc import Callable
from threading import Lock, Thread
from types import TracebackType
from typing import Self


class Strand:
    """One thread, which runs from a `resume` to the next `park`."""

    def __init__(self) -> None:
        self._go, self._back = Lock(), Lock()
        self._go.acquire()
        self._back.acquire()
        self._job: Callable[[], None] | None = None
        self._error: BaseException | None = None
        self._thread = Thread(target=self._serve, name="strand", daemon=True)
        self._thread.start()

    @property
    def busy(self) -> bool:
        """Whether there is a job that has not ended."""
        return self._job is not None

    def give(self, job: Callable[[], None]) -> None:
        """The next job; nothing of it runs before `resume`."""
        self._job = job

    def resume(self) -> None:
        """Let it run until it parks or its job ends; raises what the job raised."""
        self._go.release()
        self._back.acquire()
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def park(self) -> None:
        """From inside the job: whoever resumed goes on; returns at the next `resume`."""
        self._back.release()
        self._go.acquire()

    def end(self) -> None:
        """Let the thread go; its job must have ended."""
        self._go.release()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            self._go.acquire()
            if self._job is None:
                return
            try:
                self._job()
            except BaseException as error:  # noqa: BLE001 - raised again where `resume` was called
                self._error = error
            self._job = None
            self._back.release()


class Strands:
    """A pool of strands, for one thread that schedules; to be used with `with`."""

    def __init__(self) -> None:
        self._idle: list[Strand] = []

    def take(self, job: Callable[[], None]) -> Strand:
        """A strand with this job."""
        strand = self._idle.pop() if self._idle else Strand()
        strand.give(job)
        return strand

    def give_back(self, strand: Strand) -> None:
        """This strand's job has ended."""
        self._idle.append(strand)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for strand in self._idle:
            strand.end()
        self._idle.clear()
