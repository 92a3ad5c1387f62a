"""The registry as it is set: light, for who only sets an alias needs no estimator."""

from shared.adapters.mlflow_models import Registry
from shared.runtime.settings import Settings, read_secret


def registry_of(settings: Settings) -> Registry:
    """The client of the registry that is set.

    Raises:
        UserError: the password's file cannot be read.
    """
    mlflow = settings.mlflow
    password = (
        read_secret(mlflow.password_file, setting="TAILRACE_MLFLOW__PASSWORD_FILE") if mlflow.password_file else ""
    )
    return Registry(mlflow.url, mlflow.username, password)
