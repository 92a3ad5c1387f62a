"""The analyst on a broker with TLS, passwords and rights: what docs/operations.md lists is enough."""

import json
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from confluent_kafka.admin import AclOperation, ResourceType  # type: ignore[attr-defined] # re-exported without a word

from tests.support.analysts import Analysts, Feed, errors, stream
from tests.support.secured import CANARY, SCORER, Right, Secured, secured_broker
from tests.support.wait import until
from tests.support.world import make_world

pytestmark = pytest.mark.system
NAME = "watched"
SECTIONS: dict[str, Any] = {
    "monitoring": {"window": "1d", "hold": "1d"},
    "labels": {"horizon": "1d", "classes": ["on_time", "late"], "positive": "late"},
}


@pytest.fixture
def secured(tmp_path: Path) -> Iterator[Secured]:
    """The broker."""
    with secured_broker(tmp_path) as broker:
        yield broker


def rights(pipeline: str) -> tuple[Right, ...]:
    """What the user of a pipeline's analyst needs; docs/operations.md has the same table."""
    op, kind, group = AclOperation, ResourceType, f"tailrace.{pipeline}.analyst"
    read = ("scorecards", "errors", "asks", "models", "analyst.cards", "analyst.memory")
    written = ("verdicts", "retrain", "analyst.cards", "analyst.memory")
    return (
        *((kind.TOPIC, f"{pipeline}.{name}", False, (op.READ,)) for name in read),
        *((kind.TOPIC, f"{pipeline}.{name}", False, (op.WRITE,)) for name in written),
        (kind.GROUP, group, False, (op.READ,)),
        (kind.TRANSACTIONAL_ID, group, False, (op.WRITE,)),
    )


def test_the_analyst_works_with_the_least_rights(secured: Secured, tmp_path: Path) -> None:
    """Figures come over TLS with these rights; without them it says which it lacks; no line has the password."""
    w = make_world(tmp_path, NAME, secured.plain, env=secured.env(SCORER), **SECTIONS)
    try:
        analysts = Analysts(w, {"TAILRACE_MONITOR__TURN": "0.3"})
        Feed(w, Random(1)).send(stream(0, 5), errors(0, 5, 0.2, 1))
        analysts.start()
        until(lambda: any("error" in line for line in _events(analysts)), "a refusal", 60)
        w.supervisor.stop([analysts.name(0)])
        said = analysts.log()
        assert "Traceback" not in said
        secured.allow(SCORER, rights(NAME))
        analysts.start(1)
        until(lambda: "accuracy" in analysts.said(), "figures", 60)
        assert CANARY not in said + analysts.log(1)
    finally:
        w.supervisor.close()


def _events(analysts: Analysts) -> list[str]:
    lines = [line for line in analysts.log().splitlines() if line.startswith("{")]
    return [str(json.loads(line).get("level")) for line in lines]
