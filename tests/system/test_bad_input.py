"""Bad input by its number, on a real broker: what each becomes, and that no worker ever ended (B1-B32, B41).

One worker takes the whole table in one run, each bad record followed by a good one of its entity; a test looks at one
row. In its pipeline `stops` has the policy reject, `floors` the default 1, and a look-up that misses degrades.
"""

import json
import os
from collections import Counter
from collections.abc import Iterator

import pytest

from shared.core import reasons
from shared.core.deadletter import BODY, DETAIL, REASON
from tests.support.bad_input import CACHED, Cached, Table, played
from tests.system.bad_input_table import REFUSED, ROWS, SCORED, Row

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def table(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Table]:
    """The run: everything was sent, and everything has its outcome."""
    with played(kafka, tmp_path_factory.mktemp("bad"), f"bad_{os.getpid()}", ROWS) as run:
        yield run


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_bad_input_becomes_what_the_table_says(table: Table, row: Row) -> None:
    """A dead letter with its reason, a score, or nothing on the topic; and the record behind it is scored."""
    outcome = table.outcomes[row.name]
    assert outcome.said == row.expected, outcome.letter
    assert table.outcomes[f"after {row.name}"].said == SCORED
    if row.expected == SCORED:
        made = outcome.prediction
        assert row.flags <= set(made["flags"])
        assert ("out_of_range" in made["flags"]) == ("out_of_range" in row.flags)
        assert isinstance(made["score"], float)
        if row.like is not None:
            assert made["score"] == table.outcomes[f"like {row.name}"].prediction["score"]
    elif row.expected != REFUSED:
        headers, key, value = outcome.letter
        assert (headers[REASON], headers[BODY]) == (row.expected, row.body)
        assert value == (row.value if row.body == "original" else None)
        assert key == (row.key if row.key is None or len(row.key) < 1_000 else None)
        assert headers[DETAIL].isprintable()
        assert len(headers[DETAIL]) <= 300


@pytest.mark.parametrize("row", CACHED, ids=lambda row: row.name)
def test_a_bad_cached_value_is_a_miss_that_is_counted(table: Table, row: Cached) -> None:
    """B41: the record is scored without it, flagged, its cause counted; another entity's value is never used."""
    outcome = table.outcomes[row.name]
    assert outcome.said == SCORED
    assert set(outcome.prediction["flags"]) == {row.flag}
    assert outcome.observation["lookups"] == {"weather": row.used}
    assert table.lookups[row.counted] >= 1, table.lookups


def test_code_in_the_cache_is_never_run(table: Table) -> None:
    """B41: the pickle that would touch a file was read as corrupt, and there is no such file."""
    assert not table.canary.exists()


def test_a_header_that_is_no_text_ends_nobody(table: Table) -> None:
    """B31: a header's name in another encoding, as producers in Go or C may send it: the record has no headers."""
    assert table.outcomes["B31 header name of no UTF-8"].said == SCORED
    assert table.outcomes["after B31 header name of no UTF-8"].said == SCORED


def test_an_id_sent_twice_has_two_outcomes(table: Table) -> None:
    """B26, B27: the promise is about positions; whoever wants one prediction an id takes the first."""
    names = ("B26 an id, first", "B26 the same id, same content", "B27 the same id, other content")
    made = [table.outcomes[name].prediction for name in names]
    assert {one["id"] for one in made} == {"twice"}
    assert len({tuple(one["at"]) for one in made}) == 3


def test_no_log_line_is_forged(table: Table) -> None:
    """B29: whatever stood in the records, each line of the worker's log is one JSON object of our own making."""
    lines = [json.loads(line) for line in table.log.splitlines()]
    assert lines
    assert [line for line in lines if "forged" in json.dumps(line["event"])] == []


def test_no_key_outside_the_name_space_was_touched(table: Table) -> None:
    """B30: all that the worker asked of Redis were keys of its own pipeline."""
    assert table.keys
    assert [key for key in table.keys if not key.startswith(f"tailrace:{{{table.name}}}:weather:")] == []
    assert table.commands <= {"MGET", "PING", "HELLO", "SELECT", "CLIENT"}


def test_every_record_is_accounted_for_and_no_worker_ended(table: Table) -> None:
    """In = predictions + dead letters, by position, all reasons known, none of them a broken step; restarts = 0."""
    account = table.account
    refused = sum(row.expected == REFUSED for row in ROWS)
    letters = Counter(row.expected for row in ROWS if row.expected in reasons.ALL)
    print(f"{account.records} records = {account.predictions} predictions + {letters.total()} dead letters, ", end="")
    print(f"{refused} refused by the broker; {table.restarts} worker restarts; letters {dict(letters.most_common())}")
    assert (account.lost, account.doubled, account.stray, account.controls) == (0, 0, 0, 0), account
    assert account.dead_letters == dict(letters)
    assert account.records == account.predictions + letters.total() == table.sent
    assert (table.restarts, table.same_process) == (0, True)
