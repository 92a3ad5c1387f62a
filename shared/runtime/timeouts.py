"""Time-outs must fit each other and the broker's limits: checked at start, since a misfit shows only under failure."""

from collections.abc import Mapping, Sequence

from shared.core.errors import UserError
from shared.runtime.settings import LoopSettings

BROKER_LIMITS = ("transaction.max.timeout.ms", "group.min.session.timeout.ms", "group.max.session.timeout.ms")


def check_timeouts(loop: LoopSettings, broker: Mapping[str, int], *, classic: bool) -> None:
    """Compare the loop's time-outs with each other and with the broker's.

    Args:
        loop: our settings, in seconds.
        broker: the broker's own limits in ms, by the names in `BROKER_LIMITS`; one that is missing is not checked.
        classic: whether the session time-out is ours (the consumer protocol has it on the broker).

    Raises:
        UserError: names every misfit, with the setting and the remedy.
    """
    wrong = [*_among(loop), *_against(loop, broker, classic=classic)]
    if wrong:
        raise UserError("loop time-outs do not fit: " + "; ".join(wrong), remedy="set TAILRACE_LOOP__* accordingly")


def _among(loop: LoopSettings) -> Sequence[str]:
    rules = (
        (loop.call_timeout <= loop.transaction_timeout, "call_timeout must not exceed transaction_timeout"),
        (loop.transaction_timeout < loop.max_poll_interval, "transaction_timeout must be below max_poll_interval"),
        (loop.transaction_timeout < loop.step_budget, "step_budget must be above transaction_timeout"),
        (loop.step_budget < loop.max_poll_interval, "step_budget must be below max_poll_interval"),
        (loop.session_timeout <= loop.max_poll_interval, "session_timeout must not exceed max_poll_interval"),
    )
    return [said for holds, said in rules if not holds]


def _against(loop: LoopSettings, broker: Mapping[str, int], *, classic: bool) -> Sequence[str]:
    wrong = []
    longest = broker.get("transaction.max.timeout.ms")
    if longest is not None and loop.transaction_timeout * 1000 > longest:
        wrong.append(f"transaction_timeout {loop.transaction_timeout:g}s is above the broker's {longest / 1000:g}s")
    low, high = broker.get("group.min.session.timeout.ms"), broker.get("group.max.session.timeout.ms")
    if classic and low is not None and loop.session_timeout * 1000 < low:
        wrong.append(f"session_timeout {loop.session_timeout:g}s is below the broker's {low / 1000:g}s")
    if classic and high is not None and loop.session_timeout * 1000 > high:
        wrong.append(f"session_timeout {loop.session_timeout:g}s is above the broker's {high / 1000:g}s")
    return wrong
