"""What a table lacks is known from the topic itself, whatever the table went through."""

import msgspec

from services.monitor.analyst.base import Base
from shared.core.monitor_records import Scorecard, scorecard_key
from tests.support.looks import days


def card(offset: int, day: int = 0) -> Scorecard:
    """A card as it stood when so much of `journal` was read."""
    return msgspec.structs.replace(days(day, day + 1)[0], offset=offset)


KEY, OTHER = scorecard_key(card(0)), scorecard_key(card(0, 1))


def test_what_was_read_furthest_counts_wherever_it_is() -> None:
    """A card that the table lacks, or has an older one of, is that of the topic; a newer one in the table stays."""
    base = Base([(KEY, card(5)), (OTHER, card(7, 1))])
    assert base.under({}) == {KEY: card(5), OTHER: card(7, 1)}
    assert base.under({KEY: card(4), OTHER: card(8, 1)}) == {KEY: card(5), OTHER: card(8, 1)}


def test_of_a_key_the_topic_may_have_many() -> None:
    """They may stand in any order: after a replay an older one comes behind."""
    assert Base([(KEY, card(3)), (KEY, card(9)), (KEY, card(4))]).under({}) == {KEY: card(9)}


def test_what_the_table_has_is_let_go_of() -> None:
    """So it costs nothing for long; what event time has passed goes, too."""
    base = Base([(KEY, card(5)), (OTHER, card(7, 1))])
    base.under({KEY: card(5)})
    assert len(base) == 1
    base.drop([OTHER, b"unknown"])
    assert len(base) == 0
