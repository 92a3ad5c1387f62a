"""A real retrainer whose trainings end at once, refused: `python -m tests.support.quick_retrainer PIPELINE`.

With ORDER and RESULT instead it is the process of such a training. Each notes its order's id in TAILRACE_TEST_STARTED.
"""

import os
import sys
from pathlib import Path

import msgspec

from services.retrainer.orders import Order, Outcome
from services.retrainer.serve import main
from shared.runtime.worker import exit_code

MODULE = "tests.support.quick_retrainer"


def train(order: Path, result: Path) -> None:
    """Answer; a refusal, as after it nothing but the cool-down holds the next training back."""
    told = msgspec.json.decode(order.read_bytes(), type=Order)
    with Path(os.environ["TAILRACE_TEST_STARTED"]).open("a") as file:
        file.write(f"{told.training.id}\n")
    beside = result.with_suffix(".part")
    beside.write_bytes(msgspec.json.encode(Outcome("refused", "worse than the champion", told.champion.version)))
    beside.rename(result)


if __name__ == "__main__":
    if len(sys.argv) > 2:
        train(Path(sys.argv[1]), Path(sys.argv[2]))
    else:
        sys.exit(exit_code(lambda: main(sys.argv[1], child=MODULE)))
