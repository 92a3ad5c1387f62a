"""`tailrace validate` and `tailrace schema`, as a person or a script calls them."""

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from tailrace.cli import validate

PARCELS = Path(__file__).parents[2] / "data" / "parcels"


def run(*words: str) -> Result:
    """Run the two commands in an app of their own."""
    app = typer.Typer()
    validate.register(app)
    return CliRunner().invoke(app, list(words))


@pytest.fixture
def spoilt(tmp_path: Path) -> Path:
    """A folder whose pipeline has two mistakes."""
    text = (PARCELS / "pipeline.yaml").read_text().replace("max_age: 2h", "max_age: 2 hour")
    (tmp_path / "pipeline.yaml").write_text(text.replace("task: binary", "task: binry"))
    return tmp_path


def test_mistakes_go_to_standard_error_with_exit_2(spoilt: Path) -> None:
    """A wrong file ends with 2 and every mistake on standard error, and a right one beside it is still judged."""
    result = run("validate", str(spoilt), str(PARCELS))
    assert result.exit_code == 2
    assert "pipeline.yaml: 2 mistakes" in result.stderr
    assert "lookups.traffic.max_age" in result.stderr
    assert "parcels/pipeline.yaml: ok" in result.stdout


def test_json_is_one_array_for_right_and_wrong(spoilt: Path) -> None:
    """With --json standard output is one array with an object a path, whatever was found."""
    result = run("validate", str(spoilt), str(PARCELS), "nowhere", "--json")
    wrong, right, absent = json.loads(result.stdout)
    assert result.exit_code == 2
    assert [mistake["path"] for mistake in wrong["mistakes"]] == ["task", "lookups.traffic.max_age"]
    assert right["ok"]
    assert right["summary"]["model"] == "sklearn.linear_model.LogisticRegression"
    assert "no pipeline nowhere" in absent["mistakes"][0]["what"]


def test_a_right_file_is_summed_up_in_five_lines() -> None:
    """A right file shows task, features, lookups, model and topics, and ends with 0."""
    result = run("validate", str(PARCELS))
    assert result.exit_code == 0
    assert [line.split()[0] for line in result.stdout.splitlines()[1:]] == [
        "task",
        "features",
        "lookups",
        "model",
        "topics",
    ]


def test_schema_is_printed_or_written(tmp_path: Path) -> None:
    """The schema goes to standard output, or into the file that is named."""
    file = tmp_path / "schema.json"
    assert run("schema", "-o", str(file)).exit_code == 0
    assert json.loads(file.read_text()) == json.loads(run("schema").stdout)
    assert run("schema", "--markdown").stdout.startswith("# The pipeline file")
