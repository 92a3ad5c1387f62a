"""Headers that the client cannot give are none, and no other message loses its own."""

from shared.adapters.kafka.headers import make_readable
from shared.core.records import Headers


class Client:
    """A message as the client gives it: a name that is no UTF-8 raises once, then gives a list nobody may touch."""

    def __init__(self, headers: Headers | None, *, broken: bool = False) -> None:
        self._headers, self._broken = headers, broken

    def headers(self) -> Headers | None:
        """As `confluent_kafka.Message.headers`."""
        if self._broken:
            raise SystemError("returned a result with an exception set")
        return self._headers

    def set_headers(self, headers: Headers | None) -> None:
        """As `confluent_kafka.Message.set_headers`."""
        self._headers, self._broken = headers, False


def test_only_the_broken_ones_lose_their_headers() -> None:
    """B31: first, last, two in a row, none at all: each broken one has none, the others what they had."""
    good: Headers = [("a", b"1")]
    for pattern in ("x", "g", "xg", "gx", "gxxg", "xgxgx", ""):
        messages = [Client(good, broken=kind == "x") for kind in pattern]
        make_readable(messages)
        assert [m.headers() for m in messages] == [None if kind == "x" else good for kind in pattern]
