"""Headers that the client cannot give: a name that is no UTF-8, which producers in Go, C or Rust may send.

confluent-kafka then ends `Message.headers()` with a SystemError and keeps a broken list; a second call gives that list,
which takes the interpreter down. One such record would end every worker that meets it, for ever.
"""

from collections import deque
from collections.abc import Sequence
from operator import methodcaller
from typing import Any

_headers = methodcaller("headers")


def make_readable(messages: Sequence[Any]) -> None:
    """Ask each message once for its headers; one that cannot give them has none from here on.

    It must be the first to ask. Costs some 40 ns a message, since the client decodes headers only once.
    """
    left = iter(
        messages
    )  # not a `for` of our own: there the interpreter goes on with the error set, to raise it anywhere
    while True:
        try:
            deque(map(_headers, left), maxlen=0)
        except SystemError:
            messages[len(messages) - left.__length_hint__() - 1].set_headers(None)  # type: ignore[attr-defined] # of a list's
        else:
            return
