"""The real clock; everything that asks for time takes a `Clock`."""

import time


class SystemClock:
    """The machine's clocks."""

    def monotonic(self) -> float:
        """Seconds since an arbitrary point; never jumps back."""
        return time.monotonic()

    def time(self) -> float:
        """Seconds since 1970 UTC."""
        return time.time()
