"""`tailrace verify simulation`, as a script sees it."""

import json

import pytest
import typer
from typer.testing import CliRunner

from shared.testing.schedules.plants import PLANTS
from tailrace.cli.verify import register
from tailrace.proof import simulation

KEYS = {"ok", "n", "seed", "violations", "bound95"}


@pytest.fixture
def app() -> typer.Typer:
    """The command line with this noun alone."""
    made = typer.Typer()
    register(made)
    return made


def test_a_campaign_without_a_violation_is_one_json_object_and_exit_code_0(app: typer.Typer) -> None:
    """What every `verify` prints: ok, n, seed, violations by invariant, and the 95 % bound of their rate."""
    ended = CliRunner().invoke(app, ["verify", "simulation", "--schedules", "30", "--seed", "7", "--json"])
    said = json.loads(ended.stdout)

    assert (ended.exit_code, ended.stderr) == (0, "")
    assert KEYS <= set(said)
    assert (True, 30, 7, 0.1, {0}) == (
        said["ok"], said["n"], said["seed"], said["bound95"], set(said["violations"].values())
    )  # fmt: skip


def test_a_violation_is_exit_code_1_with_its_seed_its_trace_and_how_to_repeat_it(
    app: typer.Typer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The checker can say no: with a bug planted, the campaign ends there, for scripts and for people."""
    parts = PLANTS["commit before publish"].parts
    real = simulation.simulate
    monkeypatch.setattr(simulation, "simulate", lambda n, seed, **_: real(n, seed, parts=parts))

    machine = CliRunner().invoke(app, ["verify", "simulation", "--schedules", "2000", "--json"])
    person = CliRunner().invoke(app, ["verify", "simulation", "--schedules", "2000"])
    said = json.loads(machine.stdout)

    assert (1, 1, False, None) == (machine.exit_code, person.exit_code, said["ok"], said["bound95"])
    assert said["violations"]["I3"] > 0
    assert f"again: tailrace verify simulation --schedules 1 --seed {said['found']['seed']}" in person.stdout
    assert "peace  begins" in person.stdout or "is committed" in person.stdout
