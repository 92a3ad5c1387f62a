"""Where the `tailrace` command begins: nothing is imported before Ctrl-C has an answer."""

import os
import sys

INTERRUPTED = 130


def main() -> None:
    """Run the command line; an interrupt during its imports ends as quietly as a later one."""
    try:
        from tailrace.cli.main import main as run  # noqa: PLC0415 - the reason of this module

        run()
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.stderr.flush()
        os._exit(INTERRUPTED)  # half-imported libraries are not asked to clean up


if __name__ == "__main__":
    main()
