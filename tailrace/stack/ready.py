"""Whether one of our processes is ready, asked over its own health endpoint."""

from urllib.error import URLError
from urllib.request import urlopen


def is_ready(address: str) -> bool:
    """Whether the process at this address (`http://host:port`) owns partitions and has what it needs."""
    try:
        with urlopen(f"{address}/ready", timeout=1.0) as answer:  # noqa: S310 - our own loopback address
            return bool(answer.status == 200)  # noqa: PLR2004 - OK
    except (URLError, OSError):
        return False
