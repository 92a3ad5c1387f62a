"""What MLflow's run of a training says of its data, asked over HTTP: its client takes seconds to import."""

import base64
from http.client import HTTPException
from typing import Any
from urllib.error import URLError
from urllib.parse import quote, urlsplit
from urllib.request import ProxyHandler, Request, build_opener

import msgspec

from shared.core.errors import Unavailable
from shared.runtime.settings import MlflowSettings, read_secret

TIMEOUT = 5.0  # s
OF_DATA = ("data", "offsets", "fingerprint", "window", "archive")
"""First words of the parameters and tags that are of the data; `tailrace.` before them does not count."""
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_MOST = 1 << 22


def run_data(mlflow: MlflowSettings, run_id: str) -> dict[str, str]:
    """Parameters and tags of a run that are of its data.

    Raises:
        Unavailable: the server does not answer, or does not know the run.
        UserError: the file of its password cannot be read.
    """
    url = f"{mlflow.url.rstrip('/')}/api/2.0/mlflow/runs/get?run_id={quote(run_id)}"
    if urlsplit(url).scheme not in {"http", "https"}:
        raise Unavailable(f"MLflow at {mlflow.url}: no address of a server")
    request = Request(url, headers=_login(mlflow))  # noqa: S310 - the scheme was checked
    opener = build_opener(*([ProxyHandler({})] if urlsplit(url).hostname in _LOOPBACK else []))
    try:
        with opener.open(request, timeout=TIMEOUT) as response:
            answer = msgspec.json.decode(response.read(_MOST))
    except (URLError, HTTPException, OSError, msgspec.DecodeError) as error:
        raise Unavailable(f"MLflow at {mlflow.url}: nothing about run {run_id} ({error})") from None
    return of_data(answer)


def of_data(answer: dict[str, Any]) -> dict[str, str]:
    """Of what the server answers, what is of the data."""
    data = answer.get("run", {}).get("data", {})
    said = {str(one["key"]): str(one["value"]) for kind in ("params", "tags") for one in data.get(kind, ())}
    plain = {key.removeprefix("tailrace."): value for key, value in said.items()}
    return {key: value for key, value in sorted(plain.items()) if key.replace("_", ".").split(".")[0] in OF_DATA}


def _login(mlflow: MlflowSettings) -> dict[str, str]:
    if not mlflow.username:
        return {}
    password = (
        read_secret(mlflow.password_file, setting="TAILRACE_MLFLOW__PASSWORD_FILE") if mlflow.password_file else ""
    )
    return {"Authorization": "Basic " + base64.b64encode(f"{mlflow.username}:{password}".encode()).decode()}
