"""Processes that fit, one a core: tasks out, answers back, all of them gone at the end, however it comes.

Not a library's pool: those keep threads beside the processes, and what is interrupted in the middle ends there in
a stack trace. Here one loop asks and waits.
"""

import signal
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

from threadpoolctl import threadpool_limits

from shared.core.errors import TailraceError

Task = TypeVar("Task")


def spread(
    work: Any, tasks: Sequence[Task], do: Callable[[Any, Task], Any], jobs: int
) -> Generator[tuple[Task, Any], None, None]:
    """Each task with its answer, in the order in which they end. Close it, and the processes are gone.

    Args:
        work: what every task needs; given to each process once.
        tasks: what is to be done.
        do: called as `do(work, task)` in a process with one thread; a function of a module.
        jobs: processes; 1: no other process.

    Raises:
        TailraceError: a process was ended from outside.
        Exception: what `do` raised.
    """
    if jobs == 1:
        yield from ((task, do(work, task)) for task in tasks)
        return
    context = get_context("spawn")
    crew = []
    busy: dict[Connection, Task] = {}
    ahead = iter(tasks)
    try:
        with _deaf():
            for task in (next(ahead) for _ in range(min(jobs, len(tasks)))):
                ours, theirs = context.Pipe()
                process = context.Process(target=_serve, args=(theirs, work, do), daemon=True)
                process.start()
                crew.append(process)
                theirs.close()
                ours.send(task)
                busy[ours] = task
        while busy:
            for line in wait(list(busy)):
                if isinstance(line, Connection):
                    task = busy.pop(line)
                    answer = _heard(line)
                    for following in ahead:
                        line.send(following)
                        busy[line] = following
                        break
                    yield task, answer
    finally:
        for process in crew:
            process.kill()
        for process in crew:
            process.join()


def _heard(line: Connection) -> Any:
    try:
        answer = line.recv()
    except EOFError:
        raise TailraceError("a process of the search was ended from outside: is there memory enough?") from None
    if isinstance(answer, Exception):
        raise answer
    return answer


def _serve(line: Connection, work: Any, do: Callable[[Any, Any], Any]) -> None:
    """In a process of its own, until it is killed or nobody asks any more."""
    with threadpool_limits(1), suppress(EOFError, OSError):
        while True:
            task = line.recv()
            try:
                line.send(do(work, task))
            except Exception as error:  # noqa: BLE001 - whatever it is, it is raised where it is waited for
                line.send(error)


@contextmanager
def _deaf() -> Iterator[None]:
    """Processes that begin in here ignore Ctrl-C from their first moment: it is the parent that ends them.

    A blocked signal would not do, since the resource tracker that starts with them unblocks it.
    """
    if threading.current_thread() is not threading.main_thread():  # who may not change it does not get it either
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
