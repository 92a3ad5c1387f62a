"""How far the archive is behind its topic."""

from services.retrainer.archive.names import Log, Part
from services.retrainer.settled import behind


def test_only_files_of_this_topic_and_incarnation_count() -> None:
    """Ranges and tails count; what another incarnation or another topic has does not."""
    here, before, other = Log("x.outcomes", "new", 0), Log("x.outcomes", "old", 0), Log("y.outcomes", "new", 0)
    parts = [
        Part(here, 0, 10, "2013-01-01"), Part(here, 10, 14), Part(before, 0, 900), Part(other, 0, 900),
        Part(here._replace(partition=1), 0, 7),
    ]  # fmt: skip
    wanted = {0: 16, 1: 7, 2: 0, 3: 5}
    assert behind(parts, "x.outcomes", "new", wanted) == {0: 2, 3: 5}
    assert behind(parts, "x.outcomes", "new", {0: 14}) == {}
