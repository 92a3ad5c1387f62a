"""Which cores a bench gives to whom: one to the worker, the others to the broker and to everything else."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from tailrace.stack.program import Program

_RUN = "import os,sys; os.sched_setaffinity(0, {int(sys.argv[1])}); os.execvp(sys.argv[2], sys.argv[2:])"


@contextmanager
def pinned(*, wish: bool) -> Iterator[int | None]:
    """Keep this thread, and what it starts, off one core; gives that core's number.

    None, and nothing is pinned, where it is not wished, with a single core, or where the system cannot.
    """
    if not wish or sys.platform != "linux" or len(os.sched_getaffinity(0)) == 1:
        yield None
        return
    before = os.sched_getaffinity(0)
    core = sorted(before)[1]  # the first one has most of the kernel's own work
    os.sched_setaffinity(0, before - {core})
    try:
        yield core
    finally:
        os.sched_setaffinity(0, before)


def on_core(program: Program, core: int | None) -> Program:
    """The same program on this core only; unchanged for None. Its process id stays that of the program."""
    if core is None:
        return program
    return replace(program, argv=(sys.executable, "-I", "-S", "-c", _RUN, str(core), *program.argv))


def placed(core: int | None) -> str:
    """Where the worker was, for a person."""
    return "nothing was pinned" if core is None else f"the worker had core {core} to itself, all else the others"
