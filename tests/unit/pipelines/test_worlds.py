"""What holds for every simulated pipeline: good records, nothing but the seed to depend on, a past that stays."""

from pathlib import Path

import numpy as np
import pytest

from shared.simulation.scenario import SCENARIOS
from shared.simulation.world import Request
from tests.support.simulated import module_of, shown, spec_of, world_of

NAMES = ("obesity", "churn", "taxi", "heavy_equipment")


@pytest.mark.parametrize("name", NAMES)
def test_every_record_is_one_that_the_pipeline_takes(name: str, tmp_path: Path) -> None:
    """Nothing is refused, nothing is out of range, and every record with a label can be trained on."""
    world = world_of(name)
    _, data = shown(name, world, tmp_path)
    assert {} == dict(data.refused)
    assert len(np.unique(world.labels.index)) == len(data)
    for field, declared in spec_of(name).record.fields.items():
        if declared.minimum is not None and declared.maximum is not None:
            values = [value for value in world.records[field].tolist() if value is not None]
            assert declared.minimum <= min(values) <= max(values) <= declared.maximum, field


@pytest.mark.parametrize("name", NAMES)
def test_records_have_the_declared_fields_and_no_other(name: str) -> None:
    """There is no place in a record for the truth."""
    assert set(world_of(name).records) == set(spec_of(name).record.fields)


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_gives_the_same_rows(name: str) -> None:
    """Records, labels and truth depend on the request alone; another seed gives others."""
    simulate, request = module_of(name)["simulate"], Request(SCENARIOS["mixed"], 600, 11)
    one, two, other = simulate(request), simulate(request), simulate(Request(SCENARIOS["mixed"], 600, 12))
    assert all((one.records[field] == two.records[field]).all() for field in one.records)
    assert (one.truth.y == two.truth.y).all()
    assert (one.labels.time == two.labels.time).all()
    assert any((one.records[field] != other.records[field]).any() for field in one.records)
    assert (one.truth.y != other.truth.y).any()


@pytest.mark.parametrize("scenario", sorted(set(SCENARIOS) - {"stationary"}))
@pytest.mark.parametrize("name", ["churn", "taxi", "heavy_equipment"])  # obesity's respondents are drawn anew
def test_nothing_differs_before_the_first_change(name: str, scenario: str) -> None:
    """The records before a change are those of the same seed without it."""
    world, same = world_of(name, scenario), world_of(name)
    early = world.times < world.changes[0].start_ms
    for field in world.records:
        assert (world.records[field][early] == same.records[field][early]).all(), field
    assert (world.truth.y[early] == same.truth.y[early]).all()


@pytest.mark.parametrize("records", [1, 13, 25])
@pytest.mark.parametrize("name", NAMES)
def test_a_tiny_stream_is_one_too(name: str, records: int) -> None:
    """Every scenario gives as many records as were asked for."""
    assert all(records == len(world_of(name, scenario, records)) for scenario in SCENARIOS)
