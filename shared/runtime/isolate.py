"""Finds the record that breaks a step: the part is halved until it stands alone, and it becomes a dead letter."""

from pathlib import PurePath

from shared.core import reasons
from shared.core.errors import TailraceError
from shared.core.ports import Part, Reject, Result, Step, merged


def isolate(step: Step, part: Part) -> Result:
    """Run a step; where it raises, run it on halves.

    Args:
        step: the service's logic; a pure function of the part, so running it again does no harm.
        part: at least one record.

    Returns:
        The result, with each record that makes the step raise as a reject (reason `poison`).

    Raises:
        TailraceError: what is not the records' fault (cache or model not there) passes through.
    """
    try:
        return step(part)
    except TailraceError:
        raise
    except Exception as error:  # noqa: BLE001 - any bug that one record triggers; the record stands alone in the end
        if len(part.messages) == 1:
            return Result(rejects=[Reject(part.messages[0], reasons.POISON, where(error))])
        middle = len(part.messages) // 2
        halves = [
            isolate(step, Part(part.messages[a:b], part.headers[a:b], part.epoch))
            for a, b in ((0, middle), (middle, len(part.messages)))
        ]
        return merged(halves)


def where(error: Exception) -> str:
    """What broke, and where; never the error's own words, which may quote personal values of the record."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return type(error).__name__
    code = trace.tb_frame.f_code
    return f"{type(error).__name__} in {code.co_name} ({PurePath(code.co_filename).name}:{trace.tb_lineno})"
