"""Prometheus's own linter reads what we export."""

import itertools
import os
import shutil
import subprocess

import pytest
from prometheus_client import CollectorRegistry

from shared.adapters.prometheus import PrometheusMetrics, render
from shared.core.metrics import METRICS


def promtool(config: pytest.Config) -> str:
    """The program's path; without it the test is reported as not run, and fails where tools are required."""
    path = shutil.which("promtool")
    if path is not None:
        return path
    message = "not run: promtool is missing; make setup-dev installs it"
    if os.environ.get("CI") == "true" or config.getoption("--require-tools", default=False):
        pytest.fail(message)
    pytest.skip(message)


def everything() -> bytes:
    """Each metric of the table with a series or more: all closed values, one value for open labels."""
    registry = CollectorRegistry()
    metrics = PrometheusMetrics(registry)
    for name, row in METRICS.items():
        # No metric has more than one closed label, so the product of the choices stays small.
        choices = [sorted(row.values.get(label, {"1"})) for label in row.labels]
        for chosen in itertools.product(*choices):
            labels = dict(zip(row.labels, chosen, strict=True))
            if row.kind == "counter":
                metrics.count(name, 1.0, **labels)
            elif row.kind == "gauge":
                metrics.gauge(name, 1.0, **labels)
            else:
                metrics.observe(name, 0.01, **labels)
    return render(registry)


def check(program: str, text: bytes) -> subprocess.CompletedProcess[bytes]:
    """Run `promtool check metrics` on a text."""
    return subprocess.run([program, "check", "metrics"], input=text, capture_output=True, check=False, timeout=60)


def test_the_linter_is_awake(request: pytest.FixtureRequest) -> None:
    """A metric that breaks the rules is refused, so that silence on ours means something."""
    bad = b"# TYPE tailraceMillis counter\ntailraceMillis 1\n"
    assert check(promtool(request.config), bad).returncode != 0


def test_our_metrics_pass(request: pytest.FixtureRequest) -> None:
    """`promtool check metrics` accepts every metric of the table, without a remark."""
    text = everything()
    result = check(promtool(request.config), text)
    assert (result.returncode, result.stdout, result.stderr) == (0, b"", b"")
    assert {line.split()[2].decode() for line in text.splitlines() if line.startswith(b"# TYPE")} == set(METRICS)
