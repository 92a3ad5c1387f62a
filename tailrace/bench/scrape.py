"""A worker's own metrics, asked as Prometheus would."""

import re
from urllib.error import URLError
from urllib.request import urlopen

_LINE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$", re.MULTILINE)
_PARTITION = re.compile(r'partition="(\d+)"')


class Scraped:
    """One answer of `/metrics`; empty where the worker is away.

    Args:
        address: `http://host:port` of the worker.
    """

    def __init__(self, address: str) -> None:
        try:
            with urlopen(f"{address}/metrics", timeout=2.0) as answer:  # noqa: S310 - our own loopback address
                text = answer.read().decode()
        except (URLError, OSError):
            text = ""
        self._samples = [(name, labels, float(value)) for name, labels, value in _LINE.findall(text)]

    def total(self, name: str) -> float:
        """The sum of a sample over all its labels; 0 where there is none."""
        return sum(value for known, _, value in self._samples if known == name)

    def partitions(self, name: str) -> set[int]:
        """The partitions that a gauge has a number for: NaN says that one is gone."""
        return {
            int(found[1])
            for known, labels, value in self._samples
            if known == name and value == value and (found := _PARTITION.search(labels))  # noqa: PLR0124 - not NaN
        }
