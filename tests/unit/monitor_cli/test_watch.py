"""`tailrace monitor status`: what scripts may go by, and a screen that outlives its broker."""

from typing import TYPE_CHECKING, cast

import pytest

from shared.core.errors import Unavailable
from tailrace.cli.monitor_picture import _again, _code
from tailrace.monitor.status import Status, status
from tests.support.pictures import Past

if TYPE_CHECKING:
    from tailrace.monitor.main import Monitor


class Flaky:
    """A monitor that cannot always read."""

    def __init__(self, *answers: Status | Unavailable) -> None:
        self._answers = list(answers)

    def status(self) -> Status:
        """The next answer."""
        answer = self._answers.pop(0)
        if isinstance(answer, Unavailable):
            raise answer
        return answer


def told(verdict: str) -> Status:
    """Twenty days, and one verdict of the analyst."""
    past = Past().knows("v1").days(0, 20).says("auc", "quality", verdict, 19)
    return status(past.picture(), 1_000)


def test_while_the_broker_is_away_the_last_picture_stays() -> None:
    """It says why it is old, once, however often the broker fails; and it goes on when the broker is back."""
    gone = Unavailable("kafka: gone")
    monitor = cast("Monitor", Flaky(gone, told("ok"), gone, gone, told("alarm")))
    seen = [""]
    for _ in range(5):
        seen.append(_again(monitor, seen[-1]))

    assert seen[1] == "cannot be read now: kafka: gone"
    assert seen[3] == seen[4] == f"cannot be read now: kafka: gone; as it was before:\n\n{seen[2]}"
    assert seen[5].startswith("parcels  version v1  ALARM")


@pytest.mark.parametrize(
    ("fail_on", "codes"), [("never", [0, 0, 0]), ("warn", [0, 1, 1]), ("alarm", [0, 0, 1])]
)  # fmt: skip
def test_scripts_choose_what_fails(fail_on: str, codes: list[int]) -> None:
    """The exit code is 1 from the chosen state on; what is unknown fails nothing."""
    assert [_code(told(verdict), fail_on) for verdict in ("ok", "warn", "alarm")] == codes
    assert _code(status(Past().picture(), 0), fail_on) == 0
