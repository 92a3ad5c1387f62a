"""Which trace headers of a record its prediction and its observation carry."""

import json

import pytest

from shared.core.deadletter import MAX_CARRIED
from shared.core.records import TRACEPARENT, TRACESTATE, Headers
from tailrace.proof.mutants import Mutant
from tests.support.bundles import START
from tests.support.linear import Bench
from tests.support.spec import make_spec

PARENT = (TRACEPARENT, b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
RECORD = json.dumps({"id": "r", "depot": "d", "at": START, "weight": 1.0, "carrier": "A"}).encode()
FITS, LONG = (TRACESTATE, b"s" * MAX_CARRIED), (TRACESTATE, b"s" * (MAX_CARRIED + 1))


@pytest.mark.parametrize(
    ("given", "carried"),
    [
        (None, None),
        ([PARENT], [PARENT]),
        ([PARENT, FITS], [PARENT, FITS]),
        ([PARENT, LONG], [PARENT]),
        ([PARENT, (TRACESTATE, None)], [PARENT]),
        ([FITS], None),
        ([(TRACEPARENT, b"x" * 1_000_000)], None),
        ([("x", b"y" * 1_000_000), PARENT, PARENT], [PARENT]),
    ],
    ids=["none", "parent", "both", "too long a state", "null state", "state alone", "1 MB of no parent", "repeated"],
)
def test_only_a_trace_context_within_bounds_is_carried(given: Headers | None, carried: Headers | None) -> None:
    """B31: whatever a producer sends along, a prediction stays small enough for its topic."""
    result, _ = Bench(make_spec()).score([Mutant(b"d", RECORD, given, ())], START)
    assert [list(block.headers or ()) for block in result.blocks] == [[carried], [carried]]
