"""A state folder that another Kafka made: told in one line, before a broker fails at it."""

from pathlib import Path

import pytest

from shared.core.errors import UserError
from tailrace.stack.kafka import check_age, version_in


def _folders(tmp_path: Path, made: str, ours: str = "4.2.1") -> tuple[Path, Path]:
    folder, jars = tmp_path / "kafka", tmp_path / "jars"
    folder.mkdir()
    jars.mkdir()
    (jars / f"kafka_2.13-{ours}.jar").touch()
    if made:
        (folder / "made-by").write_text(made)
    return folder, jars


@pytest.mark.parametrize("made", ["4.2.1", "4.2.0", "4.1.1", "4.2.2", "3.10.0"])
def test_data_of_this_or_an_older_minor_version_is_opened(tmp_path: Path, made: str) -> None:
    """A patch more does not change the format."""
    check_age(*_folders(tmp_path, made))


@pytest.mark.parametrize("made", ["4.3.1", "4.10.0", ""])
def test_data_of_a_newer_version_is_refused_with_the_remedy(tmp_path: Path, made: str) -> None:
    """What is newer, or does not say, is named with the folder and what to do."""
    folder, jars = _folders(tmp_path, made)
    with pytest.raises(UserError, match=r"and 4\.2\.1 cannot open it") as told:
        check_age(folder, jars)
    assert str(folder) in told.value.what
    assert "TAILRACE_STATE" in told.value.remedy


def test_the_version_is_read_off_the_jars(tmp_path: Path) -> None:
    """The broker's own jar names it; a folder without one has none."""
    assert version_in(_folders(tmp_path, "")[1]) == "4.2.1"
    assert version_in(tmp_path) == ""
