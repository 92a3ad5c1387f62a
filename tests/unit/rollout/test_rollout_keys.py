"""The keys of `rollout`: what they mean together."""

from typing import Any

import msgspec
import pytest

from shared.core.pipeline_loop import RolloutSpec
from shared.core.pipeline_rollout_checks import rollout
from tests.support.spec import make_spec

MISTAKES = [
    ({"canary": [{"share": 0.0}]}, "rollout.canary[0].share"),
    ({"canary": [{"share": 0.5}, {"share": 0.25}]}, "rollout.canary[1].share"),
    ({"canary": [{"share": 0.5}, {"share": 0.5}]}, "rollout.canary[1].share"),
    ({"canary": [{"share": 0.5, "records": -1}]}, "rollout.canary[0].records"),
    ({"shadow": {"records": -1}}, "rollout.shadow.records"),
    ({"errors": 0.0}, "rollout.errors"),
    ({"slower": 1.0}, "rollout.slower"),
    ({"heavier": 0.5}, "rollout.heavier"),
]


@pytest.mark.parametrize(("section", "path"), MISTAKES, ids=[f"{path}-{i}" for i, (_, path) in enumerate(MISTAKES)])
def test_each_mistake_is_named_with_its_path(section: dict[str, Any], path: str) -> None:
    """A section that leads nowhere is refused, with a remedy."""
    loose = make_spec()
    found = list(rollout(_with(loose, section)))
    assert [path] == [mistake.path for mistake in found]
    assert all(mistake.remedy for mistake in found)


def _with(spec: Any, section: dict[str, Any]) -> Any:
    return msgspec.structs.replace(spec, rollout=msgspec.convert(section, RolloutSpec, strict=False))


def test_usual_plan_has_no_mistake() -> None:
    """A shadow and rising shares up to all keys are a plan."""
    steps = [{"share": share, "time": "1h", "records": 500} for share in (0.05, 0.25, 0.5, 1.0)]
    spec = make_spec(rollout={"shadow": {"time": "1h", "records": 1000}, "canary": steps})
    assert list(rollout(spec)) == []
