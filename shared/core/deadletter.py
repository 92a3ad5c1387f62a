"""Dead letters: the original bytes, with reason and position in headers, so that an operator can act on them."""

from collections.abc import Callable, Sequence

from shared.core.ports import Block, Reject
from shared.core.records import TRACEPARENT, TRACESTATE, Headers

REASON = "tailrace-reason"
DETAIL = "tailrace-detail"
SOURCE = "tailrace-source"
BODY = "tailrace-body"
ORIGIN = "tailrace-origin"  # of a replayed record: the letter that it was; `shared/core/dlq.py` writes it
ATTEMPT = "tailrace-attempt"  # which try this record is: 2 for the first replay
MAX_BODY = 900_000  # a larger body would not fit the topic: the letter refers to the record's position instead
MAX_KEY = 65_536  # a longer key is no entity's, and with the body it would not fit either: the letter is a reference
MAX_DETAIL = 300
CARRIED = (TRACEPARENT, TRACESTATE, ORIGIN, ATTEMPT)
MAX_CARRIED = 512

Withhold = Callable[[bytes], bytes | None]


def dead_letters(
    topic: str,
    source: str,
    rejects: Sequence[Reject],
    withhold: Withhold | None = None,
    withhold_key: Withhold | None = None,
) -> Block:
    """The block of dead letters for these rejects.

    Args:
        topic: the dead-letter topic.
        source: the topic that the records came from.
        rejects: what was refused, and why.
        withhold: makes the body fit to leave the service (personal fields), or None where it must not leave at all.
        withhold_key: the same for the Kafka key. Without it a letter whose body is withheld has no key, since the key
            repeats a field of the body.
    """
    values: list[bytes | None] = []
    headers: list[Headers | None] = []
    for reject in rejects:
        body, said = _body(reject, withhold)
        values.append(body)
        headers.append(_headers(source, reject, said))
    return Block(topic, [_key(r, withhold, withhold_key) for r in rejects], values, headers)


def _key(reject: Reject, withhold: Withhold | None, withhold_key: Withhold | None) -> bytes | None:
    key = reject.message.key()
    if key is None or len(key) > MAX_KEY:
        return None
    if withhold is None:
        return key
    return withhold_key(key) if withhold_key else None


def _body(reject: Reject, withhold: Withhold | None) -> tuple[bytes | None, str]:
    original = reject.message.value()
    if original is None:
        return None, "null"
    if len(original) > MAX_BODY or len(reject.message.key() or b"") > MAX_KEY:
        return None, "reference"
    if withhold is None:
        return original, "original"
    kept = withhold(original)
    if kept is None:
        return None, "withheld"
    return (None, "reference") if len(kept) > MAX_BODY else (kept, "redacted")  # written anew, it may have grown


def _headers(source: str, reject: Reject, body: str) -> Headers:
    message = reject.message
    said = "".join(c if c.isprintable() else "?" for c in reject.detail)[:MAX_DETAIL]
    # The first of repeated ones counts; whatever is longer than W3C allows is no trace context.
    found = {n: v for n, v in reversed(message.headers() or ()) if n in CARRIED and v and len(v) <= MAX_CARRIED}
    carried: Headers = [(name, found[name]) for name in CARRIED if name in found]
    position = f"{source}[{message.partition()}]@{message.offset()}"
    return [
        (REASON, reject.reason.encode()),
        (DETAIL, said.encode("utf-8", "replace")),
        (SOURCE, position.encode()),
        (BODY, body.encode()),
        *carried,
    ]
