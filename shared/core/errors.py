"""Errors that say who must act: the record, the outside world, or the user. Everything else is a bug."""


class TailraceError(Exception):
    """Root of every error that Tailrace raises on purpose."""


class UserError(TailraceError):
    """Something a user can cause and mend: shown as one line, exit code 2.

    Args:
        what: what is wrong, naming the file, key or address.
        remedy: what to do about it.
    """

    def __init__(self, what: str, *, remedy: str = "") -> None:
        super().__init__(f"{what}; {remedy}" if remedy else what)
        self.what = what
        self.remedy = remedy


class Invalid(TailraceError):
    """The record's own fault: it becomes a dead letter.

    Args:
        reason: one of `shared.core.reasons`, a short stable code that operators group by.
        detail: what exactly was wrong, for a person.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


class Unavailable(TailraceError):
    """Something outside does not answer now; the same call may succeed later."""


class LogError(TailraceError):
    """A call to the log (Kafka) failed; the subclass says what may follow.

    Args:
        what: the client's own words.
        transient: the log was out of reach: no sign that this batch is at fault.
    """

    def __init__(self, what: str, *, transient: bool = False) -> None:
        super().__init__(what)
        self.transient = transient


class Retriable(LogError):
    """Make the same call again with the same arguments."""


class Abortable(LogError):
    """Abort the transaction, go back to the committed offsets, try again."""


class Indefinite(LogError):
    """The end of the transaction is unknown: never begin again on this producer, make a new one."""


class Fatal(LogError):
    """This producer is of no more use; a new one with the same id may go on."""


class Fenced(Fatal):
    """Another live producer has taken this transactional id over."""


class ModelRefused(TailraceError):
    """A model bundle failed its checks; the message says which one."""


class CannotScore(TailraceError):
    """This worker has not got what an epoch in force means. Others may, so it must not keep the partitions.

    Args:
        epoch: which one.
        why: in words.
    """

    def __init__(self, epoch: int, why: str) -> None:
        super().__init__(f"epoch {epoch} cannot be scored here: {why}")
        self.epoch = epoch
