"""What the simulation found in the real code, each by itself."""

from collections.abc import Sequence

import pytest

from shared.core.records import Note, Rollout
from shared.core.rollout import RolloutTable
from shared.runtime.controls import Barriers
from shared.runtime.follow import application_block
from shared.testing.clock import ManualClock
from shared.testing.log import Log
from tests.support.loops import rollout

OLD = [rollout(1)]
TWO = [rollout(1), rollout(2)]
WITHDRAWN = [rollout(1), rollout(2, "revoked")]


@pytest.mark.parametrize(
    ("known", "written", "note", "acting"),
    [
        pytest.param(OLD, TWO, Note(2, 2), 2, id="an epoch that our copy has not heard of is not revoked"),
        pytest.param(TWO, WITHDRAWN, Note(2, 1), 1, id="an epoch that was revoked does not act again"),
        pytest.param(TWO, WITHDRAWN, Note(2, 2), 2, id="one that agrees with the note is not looked up"),
        pytest.param(WITHDRAWN, WITHDRAWN, Note(2, 2), 1, id="one that is revoked goes"),
    ],
)
def test_a_copy_of_models_that_lags_behind_a_note_is_read_on_first(
    known: Sequence[Rollout], written: Sequence[Rollout], note: Note, acting: int
) -> None:
    """A partition may come from a worker that knew more of `models`: its note is not contradicted unread."""
    log = Log({"in": 1}, ManualClock())
    log.append("in", 0, b"k", b"x")
    controls = Barriers(lambda to_end: RolloutTable(written if to_end else known), list, application_block("rollouts"))

    cut = controls.split(log.read("in"), {0: note})

    assert [acting] == [part.epoch for part in cut.parts]
