"""What a proof of bad challengers tries, and the declared plan that they go through."""

from typing import Any, Literal, NamedTuple

import msgspec

from shared.core.errors import UserError
from shared.core.pipeline import PipelineSpec

Plan = Literal["shadow", "canary"]
GOOD = "good"
WINDOW = "3h"
"""Short, so that a step of a day or two has cells enough to compare; not so short that a night without records would
hold event time up (one record may advance it by an eighth of this)."""
TRAIN_UNTIL = {"flights": "2013-03-01T00:00:00-05:00"}
"""What flights learn from here. January alone, as the pipeline declares it for its demo, teaches nothing that holds in
February: a constant is as good then, and who would roll that back would be wrong."""
SLICES = {"flights": {"carrier": ["UA"]}}
"""Declared where the pipeline declares none: the airline with most flights, 17 % of them."""
PLANS: dict[Plan, dict[str, Any]] = {
    "shadow": {
        "shadow": {"time": "48h", "records": 1_500},
        "canary": [{"share": 0.3, "time": "24h", "records": 200}],
    },
    "canary": {
        "canary": [{"share": 0.3, "time": "72h", "records": 700}, {"share": 0.6, "time": "72h", "records": 1_400}],
    },
}


class Kind(NamedTuple):
    """One way to be bad. `where`: in the model itself, or in the worker that scores with it, after a while."""

    name: str
    where: Literal["model", "worker"]
    says: str


KINDS = (
    Kind("nan-after-a-while", "worker", "answers NaN after its first 1,000 records"),
    Kind("slow-after-1000", "worker", "takes 20 ms a record after its first 1,000"),
    Kind("memory-leak", "worker", "keeps 1 MB a record, up to 1.5 GB"),
    Kind("classes-swapped", "model", "learnt late for on time, and on time for late"),
    Kind("slice-biased", "model", "half of one slice's labels were wrong when it learnt"),
    Kind("stale-features", "model", "learnt with look-ups of a day before (without look-ups: its numbers)"),
    Kind("overconfident", "model", "its logits are 8 times what they should be"),
    Kind("constant", "model", "says the share of the classes, whatever comes"),
    Kind("wrong-units", "model", "learnt its most important number in thousandths"),
    Kind("shuffled-labels", "model", "learnt labels in random order"),
)


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What is tried: which of `KINDS` by name, by which plan, at how many records a second, with how many workers.

    A trial that has no end after `patience` s is ended by hand.
    """

    plan: Plan = "shadow"
    only: tuple[str, ...] = ()
    rate: int = 400
    workers: int = 2
    patience: float = 90.0
    seed: int = 1

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """Those that are tried, in order."""
        return tuple(kind for kind in KINDS if not self.only or kind.name in self.only)


def request_of(plan: str, only: str, **figures: Any) -> Request:
    """What a command line asks for; `only` are names of kinds, separated by commas.

    Raises:
        UserError: there is no such plan, or no such kind; names those that there are.
    """
    names = tuple(name.strip() for name in only.split(",") if name.strip())
    known = [kind.name for kind in KINDS]
    if wrong := [name for name in names if name not in known]:
        raise UserError(f"--only: {wrong[0]} is no kind of bad challenger", remedy=f"one of {', '.join(known)}")
    for one in PLANS:
        if one == plan:
            return Request(plan=one, only=names, **figures)
    raise UserError(f"--plan: there is no plan {plan}", remedy=f"one of {', '.join(PLANS)}")


def changes(spec: PipelineSpec, plan: Plan) -> dict[str, Any]:
    """Sections of the copied pipeline file: short windows, a declared slice, the plan, more to learn from."""
    monitoring: dict[str, Any] = {"window": WINDOW}
    if not spec.monitoring.slices and spec.name in SLICES:
        monitoring["slices"] = SLICES[spec.name]
    found: dict[str, Any] = {"monitoring": monitoring, "rollout": PLANS[plan]}
    if spec.name in TRAIN_UNTIL:
        found["history"] = {"train_until": TRAIN_UNTIL[spec.name]}
    return found
