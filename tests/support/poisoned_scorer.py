"""A real scorer worker whose step breaks on some records: `python -m tests.support.poisoned_scorer PIPELINE`.

The same wiring as `services.scorer.main`; a record that holds POISON stands for one that meets a bug of ours.
"""

import sys

from services.scorer import main as scorer
from services.scorer.step import ScorerStep
from shared.core.ports import Part, Result
from shared.runtime.worker import exit_code

POISON = b"poisonous"


class Poisoned(ScorerStep):
    """The real step, with a bug."""

    def __call__(self, part: Part) -> Result:
        """See `Step`."""
        if any(POISON in (message.value() or b"") for message in part.messages):
            raise ZeroDivisionError
        return super().__call__(part)


if __name__ == "__main__":
    scorer.ScorerStep = Poisoned  # type: ignore[attr-defined] # the one seam; the process is ours alone
    sys.exit(exit_code(lambda: scorer.main(sys.argv[1])))
