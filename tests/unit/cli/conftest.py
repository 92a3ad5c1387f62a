"""What tests of the command line share."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def tailrace(tmp_path: Path) -> Run:
    """Run the command in an empty folder; nothing runs there, and no server answers."""

    def run(line: str, **environ: str) -> subprocess.CompletedProcess[str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("TAILRACE_")}
        argv = (sys.executable, "-m", "tailrace.cli.main", *line.split())
        return subprocess.run(
            argv, env=clean | environ, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
        )

    return run
