"""The logs that the contract holds: in memory, and a real Kafka under both of its rebalance protocols, and aligned."""

from collections.abc import Callable, Iterator

import pytest

from tests.support.logs import AlignedRig, KafkaRig, MemoryRig, Rig


@pytest.fixture(
    params=[
        "memory",
        pytest.param("classic", marks=pytest.mark.system),
        pytest.param("consumer", marks=pytest.mark.system),
        pytest.param("aligned", marks=pytest.mark.system),
    ]
)
def rig(request: pytest.FixtureRequest, unique: Callable[[str], str]) -> Iterator[Rig]:
    """A log of its own for each test; the broker is only started for those that ask for it."""
    made: Rig = MemoryRig()
    if request.param == "aligned":
        made = AlignedRig(request.getfixturevalue("kafka"), unique("contract"), "classic")
    elif request.param != "memory":
        made = KafkaRig(request.getfixturevalue("kafka"), unique("contract"), request.param)
    try:
        yield made
    finally:
        made.close()
