"""Who gives way stays below whoever does not."""

import os
import subprocess
import sys

from shared.runtime.background import NICENESS

GIVING_WAY = "import os; from shared.runtime.background import give_way; give_way(); print(os.nice(0))"


def test_giving_way_lowers_the_priority_of_this_process_alone() -> None:
    """The process is that much nicer than the one that started it, which stays as it was."""
    before = os.nice(0)
    told = subprocess.run([sys.executable, "-c", GIVING_WAY], capture_output=True, text=True, check=True).stdout
    assert int(told) == min(before + NICENESS, 19)
    assert os.nice(0) == before
