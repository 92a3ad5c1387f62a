"""Become another program that dies with its supervisor. Run by path, with the standard library only.

`python -I -S child.py PARENT_PID PROGRAM ARGUMENT...` asks the kernel for SIGKILL at the parent's death,
then becomes PROGRAM. A fork hook could do the same, but forking a process with threads must not run Python.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Bind this process to its parent's life, then replace it."""
    parent, program = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before we asked
        sys.exit(1)
    try:
        os.execvp(program[0], program)  # noqa: S606 - the whole point: no shell, our own table of programs
    except OSError as error:
        sys.stderr.write(f"{program[0]}: {error.strerror}\n")
        sys.exit(127)


if __name__ == "__main__":
    main()
