"""What the analyst exports has closed label sets that are those of the code."""

from typing import get_args

from services.monitor.analyst.delays import SHARES
from services.monitor.analyst.findings import Level, Trigger
from services.monitor.analyst.showing import STATUSES
from shared.core.metrics import METRICS
from shared.core.monitor_records import AccountSums


def test_triggers_and_levels_are_those_of_the_findings() -> None:
    """A trigger that the metrics do not know would be exported as `other`."""
    assert METRICS["tailrace_findings"].values["trigger"] == set(get_args(Trigger))
    assert METRICS["tailrace_findings"].values["level"] == {*get_args(Level), "unknown"}
    for name in ("tailrace_alarms_total", "tailrace_retrain_requests_total"):
        assert METRICS[name].values["trigger"] == set(get_args(Trigger))


def test_statuses_and_shares_are_those_of_the_records() -> None:
    """Each status is a field of the accounts; each share is one of the quantiles."""
    assert set(STATUSES) <= set(AccountSums.__struct_fields__)
    assert METRICS["tailrace_account_labels"].values["status"] == set(STATUSES)
    assert METRICS["tailrace_label_delay_seconds"].values["share"] == {f"{share:g}" for share in SHARES}
