"""Headers that the client cannot give: a name that is no UTF-8, which producers in Go, C or Rust may send.

confluent-kafka then ends `Message.headers()` with a SystemError and keeps a broken list; a second call gives that list,
which takes the interpreter down. One such record would end every worker that meets it, for ever.
"""

from collections.abc import Sequence
from typing import Any


def make_readable(messages: Sequence[Any]) -> None:
    """Ask each message once for its headers; one that cannot give them has none from here on.

    It must be the first to ask. Costs little, since the client decodes headers only once.
    """
    left, message = iter(messages), None
    while True:
        try:
            for message in left:
                message.headers()
        except SystemError:
            message.set_headers(None)  # type: ignore[union-attr] # the one that raised
        else:
            return
