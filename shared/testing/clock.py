"""A clock that tests move by hand."""


class ManualClock:
    """Stands still until `advance` is called; both readings move together (seconds)."""

    def __init__(self, now: float = 1_000_000.0) -> None:
        self._now = now

    def monotonic(self) -> float:
        """Seconds since an arbitrary point."""
        return self._now

    def time(self) -> float:
        """Seconds since 1970 UTC, as far as this clock is concerned."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass."""
        self._now += seconds
