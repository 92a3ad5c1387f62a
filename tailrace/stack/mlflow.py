"""The embedded model registry: MLflow's server as one process, with its data in the state folder.

`mlflow server` is a launcher: it imports all of MLflow (4 s, 210 MB), starts uvicorn with these same
variables, which imports it again, and stays. We start that uvicorn: half the memory, half the time to wait,
and no grandchild that could outlive a killed supervisor.
"""

import sys
import urllib.error
import urllib.request
from http import HTTPStatus
from pathlib import Path

from tailrace.stack.ports import LOOPBACK
from tailrace.stack.program import Program

START_TIMEOUT_S = 180.0


def prepare(folder: Path, port: int) -> Program:
    """Describe the server.

    Args:
        folder: its part of the state folder: `registry.db` and `artifacts`.
        port: where to listen.

    Returns:
        The server, ready to be started.
    """
    artifacts = folder / "artifacts"
    artifacts.mkdir(parents=True, exist_ok=True)
    return Program(
        "mlflow",
        (
            *(sys.executable, "-m", "uvicorn", "--host", LOOPBACK, "--port", str(port)),
            *("--log-level", "warning", "mlflow.server.fastapi_app:app"),
        ),
        env={
            "_MLFLOW_SERVER_FILE_STORE": f"sqlite:///{folder / 'registry.db'}",
            "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
            "_MLFLOW_SERVER_ARTIFACT_DESTINATION": str(artifacts),
            "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "GIT_PYTHON_REFRESH": "quiet",
            "PYTHONWARNINGS": "ignore",
        },
        cwd=folder,
        ready=lambda: answers(port),
        stop_timeout=5.0,
        address=f"http://{LOOPBACK}:{port}",
    )


def answers(port: int) -> bool:
    """Whether the server is healthy and its database is migrated (the first look at it does that)."""
    return _get(port, "/health", 1.0) and _get(port, "/api/2.0/mlflow/experiments/search?max_results=1", 60.0)


def _get(port: int, path: str, timeout_s: float) -> bool:
    # Past every proxy: the address is loopback.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://{LOOPBACK}:{port}{path}", timeout=timeout_s) as answer:
            return bool(answer.status == HTTPStatus.OK)
    except (urllib.error.URLError, OSError):
        return False
