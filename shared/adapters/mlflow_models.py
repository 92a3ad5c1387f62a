"""The model registry: the one file that imports MLflow, and keeps it quiet.

A version is registered first, so that its number can stand inside the bundle; until the bundle is there it has the tag
`tailrace.state` = `pending`, and nothing refers to it. Aliases are what is wished; in force is what `models` says.
"""

import contextlib
import io
import logging
import os
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from shared.core import registry as names
from shared.core.errors import Unavailable, UserError
from shared.core.model_types import TRUSTED
from shared.core.records import BundleRef
from shared.core.registry import Draft, Shape, VersionInfo, version_info

_QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER": "false",
    "GIT_PYTHON_REFRESH": "quiet",
}
_PROXIED = "mlflow-artifacts:"
_ABSENT = "RESOURCE_DOES_NOT_EXIST"
_WRONG = (_ABSENT, "INVALID_PARAMETER_VALUE")


class Registry:
    """Experiments, runs and registered models of one MLflow server.

    Args:
        url: of the server.
        username: with `password`, of a user that may write; empty: no login.
        password: as read from its file.
        patience_s: how long one request may take; each call asks again once, so that a server that hangs holds it up
            for a little more than twice that.
    """

    def __init__(self, url: str, username: str = "", password: str = "", *, patience_s: int = 15) -> None:
        os.environ.update(_QUIET, MLFLOW_HTTP_REQUEST_TIMEOUT=str(patience_s))
        if username:
            os.environ.update(MLFLOW_TRACKING_USERNAME=username, MLFLOW_TRACKING_PASSWORD=password)
        self._url = url.rstrip("/")
        with _silence():
            import mlflow  # noqa: PLC0415 - takes seconds, and reads the environment set above

            self._mlflow: Any = mlflow
            self._client: Any = mlflow.MlflowClient(tracking_uri=self._url, registry_uri=self._url)

    def begin(self, name: str, parameters: Mapping[str, Any], tags: Mapping[str, str]) -> Draft:
        """Start a run in the experiment of a pipeline, and register the next version of its model; both have the tags.

        Raises:
            Unavailable: the server does not answer.
            UserError: it does not serve artifacts by itself; says how it must be started.
        """
        with self._speaking():
            run = self._client.create_run(self._experiment(name), run_name=f"train {name}", tags=dict(tags))
            uri = str(run.info.artifact_uri)
            if not uri.startswith(_PROXIED):
                raise UserError(
                    f"{self._url}: its artifacts are at {uri.split(':', 1)[0]}, out of the scorers' reach",
                    remedy="start MLflow with --serve-artifacts and --artifacts-destination",
                )
            for key, value in parameters.items():
                self._client.log_param(run.info.run_id, key, str(value)[:500])
            self._ensure_model(name)
            version = self._client.create_model_version(
                name, f"{uri}/bundle", run.info.run_id, tags={**tags, names.STATE_TAG: names.PENDING}
            )
            path = uri.removeprefix(_PROXIED).lstrip("/")
            base = f"{self._url}/api/2.0/mlflow-artifacts/artifacts/{path}/bundle"
            return Draft(name, str(version.version), run.info.run_id, base)

    def note(self, name: str, title: str, tags: Mapping[str, str], path: str, obj: Any) -> str:
        """A run in the experiment of a pipeline that made no version: its tags, and why, as a JSON artifact.

        Returns:
            The run's id.

        Raises:
            Unavailable: the server does not answer.
        """
        with self._speaking():
            run = self._client.create_run(self._experiment(name), run_name=title, tags=dict(tags))
            run_id = str(run.info.run_id)
            self._client.log_text(run_id, msgspec.json.format(msgspec.json.encode(obj)).decode(), path)
            self._client.set_terminated(run_id, "FINISHED")
        return run_id

    def finish(
        self, draft: Draft, folder: Path, digest: str, metrics: Mapping[str, float], estimator: Any, shape: Shape
    ) -> BundleRef:
        """Log metrics, bundle and estimator (as skops) to the run, and mark the version as complete.

        The first complete version of a model becomes its champion.

        Raises:
            Unavailable: the server does not answer; the version stays pending.
        """
        with self._speaking():
            for metric, figure in metrics.items():
                self._client.log_metric(draft.run_id, metric, figure)
            self._client.log_artifacts(draft.run_id, str(folder), "bundle")
            self._log_estimator(draft, estimator, shape)
            said = {names.DIGEST_TAG: digest, names.URI_TAG: draft.base, names.STATE_TAG: names.COMPLETE}  # state last
            for key, value in said.items():
                self._client.set_model_version_tag(draft.name, draft.version, key, value)
            self._client.set_terminated(draft.run_id, "FINISHED")
            if names.CHAMPION not in self._client.get_registered_model(draft.name).aliases:
                self._client.set_registered_model_alias(draft.name, names.CHAMPION, draft.version)
        return BundleRef(draft.version, draft.base, digest)

    def fail(self, draft: Draft, reason: str) -> None:
        """Say of a version that nothing will come of it; best effort, for this runs on the way out of a failure."""
        with contextlib.suppress(Unavailable), self._speaking():
            self._client.set_model_version_tag(draft.name, draft.version, names.STATE_TAG, names.FAILED)
            self._client.set_tag(draft.run_id, "tailrace.failure", reason[:500])
            self._client.set_terminated(draft.run_id, "FAILED")

    def aliases(self, name: str) -> dict[str, str]:
        """The version behind each alias of a model; empty where the model is not registered.

        Raises:
            Unavailable: the server does not answer.
        """
        with self._asking():
            try:
                found = self._client.get_registered_model(name).aliases
            except self._mlflow.MlflowException as error:
                if error.error_code != _ABSENT:
                    raise
                return {}
            return {str(alias): str(version) for alias, version in found.items()}

    def set_alias(self, name: str, alias: str, version: str) -> None:
        """Let an alias name a version, whatever it named before.

        Raises:
            UserError: there is no such version.
            Unavailable: the server does not answer.
        """
        with self._asking(f"{name} version {version}"):
            self._client.set_registered_model_alias(name, alias, version)

    def drop_alias(self, name: str, alias: str) -> None:
        """Let an alias name nothing; one that does not exist is left as it is.

        Raises:
            UserError: there is no such model.
            Unavailable: the server does not answer.
        """
        with self._asking(name):
            self._client.delete_registered_model_alias(name, alias)

    def versions(self, name: str) -> list[VersionInfo]:
        """Every version of a model, the oldest first; none where the model is not registered.

        Raises:
            Unavailable: the server does not answer.
        """
        found: list[VersionInfo] = []
        token: str | None = None
        with self._asking():
            while True:
                page = self._client.search_model_versions(f"name='{name}'", max_results=1_000, page_token=token)
                found += [
                    version_info(str(v.version), str(v.run_id or ""), int(v.creation_timestamp), dict(v.tags))
                    for v in page
                ]
                token = page.token
                if not token:
                    return sorted(found, key=lambda info: int(info.version))

    def tag(self, name: str, version: str, key: str, value: str) -> None:
        """Write a tag of a version, over what it said.

        Raises:
            UserError: there is no such version.
            Unavailable: the server does not answer.
        """
        with self._asking(f"{name} version {version}"):
            self._client.set_model_version_tag(name, version, key, value)

    def attach(self, run_id: str, folder: Path) -> None:
        """Keep what is in a folder, at the same places among the artifacts of a run.

        Raises:
            Unavailable: the server does not answer.
        """
        with self._speaking():
            self._client.log_artifacts(run_id, str(folder))

    def log_json(self, run_id: str, path: str, obj: Any) -> None:
        """Keep an object as a JSON artifact of a run, over what stood at `path`; runs that ended take it too.

        Raises:
            UserError: there is no such run.
            Unavailable: the server does not answer.
        """
        text = msgspec.json.format(msgspec.json.encode(obj)).decode()
        with self._asking(f"run {run_id}"):
            self._client.log_text(run_id, text, path)

    def model_file(self, run_id: str, into: Path) -> Path:
        """Bring the estimator that a run logged into a folder: a skops file, to be checked before it is loaded.

        Raises:
            UserError: there is no such run, or it logged none.
            Unavailable: the server does not answer.
        """
        with self._asking(f"run {run_id}"), _silence():
            self._mlflow.set_tracking_uri(self._url)  # by it the run's model is found, whatever is said below
            found = self._mlflow.artifacts.download_artifacts(
                artifact_uri=f"runs:/{run_id}/model", dst_path=str(into), tracking_uri=self._url
            )
        files = sorted(Path(found).rglob("*.skops"))
        if not files:
            raise UserError(f"MLflow at {self._url}: run {run_id} logged no skops model", remedy="train it again")
        return files[0]

    def _log_estimator(self, draft: Draft, estimator: Any, shape: Shape) -> None:
        self._mlflow.set_tracking_uri(self._url)
        self._mlflow.set_registry_uri(self._url)
        with self._mlflow.start_run(run_id=draft.run_id):
            self._mlflow.sklearn.log_model(
                estimator,
                name="model",
                signature=_signature(shape),
                serialization_format="skops",
                skops_trusted_types=sorted(TRUSTED),
                pip_requirements=["scikit-learn", "skops"],  # else MLflow starts a process to find them out
            )

    def _experiment(self, name: str) -> str:
        found = self._client.get_experiment_by_name(name)
        return str(found.experiment_id) if found is not None else str(self._client.create_experiment(name))

    def _ensure_model(self, name: str) -> None:
        try:
            self._client.create_registered_model(name)
        except self._mlflow.MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    @contextlib.contextmanager
    def _asking(self, what: str = "") -> Iterator[None]:
        """Errors as ours; without a hand on the process's streams, for others may be writing to them.

        Args:
            what: named where the server says that it does not exist.
        """
        try:
            yield
        except (self._mlflow.MlflowException, OSError) as error:  # of a transfer it is the error of `requests`
            line = (str(error).splitlines() or [""])[0]
            if what and getattr(error, "error_code", "") in _WRONG:
                raise UserError(
                    f"MLflow at {self._url}: {what}: {line[:300]}", remedy="list what it knows: tailrace models list"
                ) from None
            raise Unavailable(f"MLflow at {self._url}: {line[:300]}") from None

    @contextlib.contextmanager
    def _speaking(self) -> Iterator[None]:
        with self._asking(), _silence():
            yield


def _signature(shape: Shape) -> Any:
    """Columns by name in, 32-bit as at scoring; probabilities (n, k) or values (n,) out."""
    import numpy as np  # noqa: PLC0415 - as MLflow itself, not before it is needed
    from mlflow.models import ModelSignature  # noqa: PLC0415 - the same
    from mlflow.types.schema import ColSpec, DataType, Schema, TensorSpec  # noqa: PLC0415 - the same

    out = (-1, shape.classes) if shape.classes else (-1,)
    inputs = Schema([ColSpec(DataType.float, name) for name in shape.features])
    return ModelSignature(inputs, Schema([TensorSpec(np.dtype(np.float64), out)]))


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """No warnings, no links with pictures: MLflow prints where only results belong."""
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        yield
