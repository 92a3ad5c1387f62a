"""Wrong configuration: a worker refuses to start, in one clear line, with exit code 2 (B44)."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.support.world import World, make_world

pytestmark = pytest.mark.system


@dataclass(frozen=True, slots=True)
class Wrong:
    """One mistake: in the pipeline's file, in the file of settings, or in the environment; and what the line names."""

    name: str
    named: str
    pipeline: Mapping[str, Any] = field(default_factory=dict)
    settings: str = ""
    env: Mapping[str, str] = field(default_factory=dict)


ABOVE = {"TRANSACTION_TIMEOUT": "1000", "STEP_BUDGET": "1100", "MAX_POLL_INTERVAL": "1200"}
MISTAKES = (
    Wrong("B44 unknown key of the pipeline", "delivry", pipeline={"delivry": {"guarantee": "exactly_once"}}),
    Wrong("B44 typo in a key", "guarante", pipeline={"delivery": {"guarante": "exactly_once"}}),
    Wrong("B44 typo in a value", "exactly_onse", pipeline={"delivery": {"guarantee": "exactly_onse"}}),
    Wrong("B44 unknown key of the settings", "sesion_timeout", settings="loop: {sesion_timeout: 5}"),
    Wrong("B44 negative time-out", "TAILRACE_LOOP__CALL_TIMEOUT", env={"TAILRACE_LOOP__CALL_TIMEOUT": "-1"}),
    Wrong("B44 time-outs that contradict", "call_timeout", env={"TAILRACE_LOOP__CALL_TIMEOUT": "30"}),
    Wrong(
        "B44 transaction time-out above the broker's",
        "transaction_timeout 1000s is above the broker's 900s",
        env={f"TAILRACE_LOOP__{name}": value for name, value in ABOVE.items()},
    ),
    Wrong(
        "B44 message time-out above the transaction's",
        "message.timeout.ms",
        env={"TAILRACE_KAFKA__CLIENT__MESSAGE_TIMEOUT_MS": "60000"},
    ),
    Wrong("B44 no transactional.id", "transactional.id", env={"TAILRACE_KAFKA__CLIENT__TRANSACTIONAL_ID": ""}),
    Wrong("B44 no slot for a transactional.id", "TAILRACE_WORKER__SLOT", env={"TAILRACE_WORKER__SLOT": "-1"}),
)


@pytest.fixture(scope="module")
def w(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A pipeline that could be scored."""
    made = make_world(tmp_path_factory.mktemp("config"), f"config_{os.getpid()}", kafka)
    yield made
    made.supervisor.close()


@pytest.mark.parametrize("wrong", MISTAKES, ids=lambda wrong: wrong.name)
def test_a_wrong_configuration_is_refused_at_start(w: World, tmp_path: Path, wrong: Wrong) -> None:
    """Exit code 2, which no supervisor starts again, and one line that names what to mend."""
    tree = json.loads((w.folder / "pipeline.yaml").read_text())
    (tmp_path / "pipeline.yaml").write_text(json.dumps(tree | wrong.pipeline))
    env = {
        "PATH": os.environ["PATH"],
        "TAILRACE_STATE": str(w.folder / "state"),
        "TAILRACE_KAFKA__BOOTSTRAP_SERVERS": w.kafka,
        "TAILRACE_REDIS__URL": w.redis,
        "TAILRACE_LOG__FORMAT": "json",
        **wrong.env,
    }
    if wrong.settings:
        (tmp_path / "settings.yaml").write_text(wrong.settings)
        env["TAILRACE_CONFIG"] = str(tmp_path / "settings.yaml")
    argv = [sys.executable, "-m", "services.scorer.main", str(tmp_path)]
    began = time.monotonic()
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=60, check=False)
    print(f"{wrong.name}: exit code {done.returncode} after {time.monotonic() - began:.2f} s")
    errors = [line for line in done.stderr.splitlines() if '"level": "info"' not in line]
    assert (done.returncode, done.stdout, len(errors)) == (2, "", 1), done.stderr
    assert wrong.named in json.loads(errors[0])["error"]
