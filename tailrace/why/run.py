"""What the run of a training says of its data, fetched from beside its bundle: MLflow's client takes seconds."""

import base64
from http.client import HTTPException
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, Request, build_opener

import msgspec

from shared.core.errors import Unavailable
from shared.core.records import BundleRef
from shared.runtime.settings import MlflowSettings, read_secret
from tailrace.why.terms import Data

TIMEOUT = 5.0  # s
BESIDE, PAPER = "/bundle", "data.json"
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_MOST = 1 << 22


def run_data(mlflow: MlflowSettings, ref: BundleRef) -> Data:
    """The data of the run that a bundle lies in.

    Args:
        mlflow: the registry; nothing else is asked, and its password goes nowhere else.
        ref: of the bundle.

    Raises:
        Unavailable: the bundle lies elsewhere, the server does not answer, or has nothing there.
        UserError: the file of its password cannot be read.
    """
    base = mlflow.url.rstrip("/") + "/"
    if urlsplit(base).scheme not in {"http", "https"} or not (ref.uri.startswith(base) and ref.uri.endswith(BESIDE)):
        raise Unavailable(f"the bundle of version {ref.version} lies not in the runs of MLflow at {mlflow.url}")
    url = f"{ref.uri.removesuffix(BESIDE)}/{PAPER}"
    request = Request(url, headers=_login(mlflow))  # noqa: S310 - the scheme was checked
    opener = build_opener(*([ProxyHandler({})] if urlsplit(url).hostname in _LOOPBACK else []))
    try:
        with opener.open(request, timeout=TIMEOUT) as response:
            return msgspec.json.decode(response.read(_MOST), type=Data)
    except (URLError, HTTPException, OSError, msgspec.DecodeError) as error:
        raise Unavailable(f"MLflow at {mlflow.url}: {PAPER} of version {ref.version}: {error}") from None


def _login(mlflow: MlflowSettings) -> dict[str, str]:
    if not mlflow.username:
        return {}
    file = mlflow.password_file
    password = read_secret(file, setting="TAILRACE_MLFLOW__PASSWORD_FILE") if file else ""
    return {"Authorization": "Basic " + base64.b64encode(f"{mlflow.username}:{password}".encode()).decode()}
